package table_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/valyala/fasthttp"

	"holdfast/catalog"
	"holdfast/dynamodb"
	"holdfast/shard"
	"holdfast/table"
)

// A directory is one of testdata/format1, and what a program must answer that starts with it.
type directory struct {
	What  string
	Now   float64 // the second since 1970 in which the program that made it ended
	Steps []step
}

// A step is one of: a wait, a request with its response, or a stream with its records. Responses
// lack what volatile names.
type step struct {
	Sleep int // seconds

	Op, Error string // Error: the error's type and message
	Body      json.RawMessage
	Want      json.RawMessage
	Count     int
	SHA256    string // of the response in canonical form, where that is large
	Ignore    bool   // the response doesn't matter

	Stream, Status string // the stream's ARN
	Shards         []streamShard
}

// A streamShard is a shard of a stream, without its ID.
type streamShard struct {
	Range   any   `json:"range"`
	Records []any `json:"records"`
}

// volatile are members of responses that depend on when or how often one asks.
var volatile = []string{"LatestRestorableDateTime", "NextShardIterator", "ShardIterator", "ShardId", "ParentShardId"}

// Directories of format 1, which an earlier program made (testdata/format1/README.md), open with
// all that was in them: items, index entries, counts, streams, tokens, points in time, and work that
// was under way. Afterwards they pass a check.
func TestFormat1(t *testing.T) {
	paths, err := filepath.Glob("testdata/format1/*.json")
	if err != nil || len(paths) < 5 {
		t.Fatalf("got %d directories, %v; want them", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var d directory
			if err := json.Unmarshal(raw, &d); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { d.verify(t, unpacked(t, strings.TrimSuffix(path, "json")+"tar.gz")) })
		})
	}
}

// unpacked returns a file system with a directory /data that has the files of an archive.
func unpacked(t *testing.T, path string) *vfs.MemFS {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fs
		}
		if err != nil {
			t.Fatal(err)
		}
		name := fs.PathJoin("/data", filepath.Clean(h.Name))
		if h.Typeflag == tar.TypeDir {
			name = fs.PathJoin(name, "x")
		}
		if err := fs.MkdirAll(fs.PathDir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// verify opens a directory and compares what it has, and opens it again, when nothing is of format
// 1 any more, and does the requests that change something, too.
func (d *directory) verify(t *testing.T, fs *vfs.MemFS) {
	from := time.Now() // of the bubble
	began := time.UnixMilli(int64(d.Now * 1000))
	now := func() time.Time { return began.Add(time.Since(from)) }
	options := shard.Options{Dir: "/data", FS: fs, Now: now, Boot: "another boot"}
	reads := len(d.Steps)
	for i, s := range slices.Backward(d.Steps) {
		if s.Sleep > 5 || strings.HasPrefix(s.Op, "Transact") || strings.HasPrefix(s.Op, "Restore") {
			reads = i
		}
	}
	for _, steps := range [][]step{d.Steps[:reads], d.Steps} {
		disk, err := shard.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		tables, err := table.Open(context.Background(), table.Options{Disk: disk, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		c := client{t: t, h: dynamodb.New(dynamodb.Options{Tables: tables, Now: now})}
		for i := range steps {
			c.do(&steps[i])
		}
		if err := errors.Join(tables.Close(), disk.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := shard.Check(
			context.Background(), options, catalog.Schemas, table.CheckAcross, func(f shard.Fault) {
				t.Errorf("check: %+v", f)
			},
		); err != nil {
			t.Errorf("check: %v", err)
		}
	}
}

// A client sends requests to a handler.
type client struct {
	t *testing.T
	h *dynamodb.Handler
}

func (c client) do(s *step) {
	switch {
	case s.Sleep > 0:
		time.Sleep(time.Duration(s.Sleep) * time.Second)
		synctest.Wait()
	case s.Stream != "":
		c.readStream(s)
	default:
		c.compare(s)
	}
}

// compare sends a request and compares its response.
func (c client) compare(s *step) {
	c.t.Helper()
	got, fault := c.call(s.Op, s.Body)
	canonical := text(c.t, got)
	switch {
	case fault != s.Error:
		c.t.Errorf("%s %s\ngot error  %q\nwant error %q", s.Op, s.Body, fault, s.Error)
	case fault != "" || s.Ignore:
	case s.SHA256 != "":
		if sum := sha256.Sum256([]byte(canonical)); hex.EncodeToString(sum[:]) != s.SHA256 {
			c.t.Errorf("%s %s: got %d bytes, with %v items; want other bytes, with %d", s.Op, s.Body, len(canonical),
				got["Count"], s.Count)
		}
	default:
		if want := text(c.t, decoded(c.t, s.Want)); canonical != want {
			c.t.Errorf("%s %s\ngot  %s\nwant %s", s.Op, s.Body, canonical, want)
		}
	}
}

// readStream reads a stream from its beginning, and compares its records.
func (c client) readStream(s *step) {
	c.t.Helper()
	arn := map[string]string{"StreamArn": s.Stream}
	response, fault := c.request("DescribeStream", []byte(text(c.t, arn)))
	if fault != "" {
		c.t.Errorf("%s: got error %q", s.Stream, fault)
		return
	}
	described := response["StreamDescription"].(map[string]any)
	if got := described["StreamStatus"]; got != s.Status {
		c.t.Errorf("%s: got status %v; want %s", s.Stream, got, s.Status)
	}
	var shards []streamShard
	for _, one := range described["Shards"].([]any) {
		sh := one.(map[string]any)
		got := streamShard{Range: sh["SequenceNumberRange"], Records: []any{}}
		page, fault := c.request("GetShardIterator", []byte(text(c.t, map[string]any{
			"StreamArn": s.Stream, "ShardId": sh["ShardId"], "ShardIteratorType": "TRIM_HORIZON"})))
		for it := page["ShardIterator"]; it != nil && fault == ""; it = page["NextShardIterator"] {
			page, fault = c.request("GetRecords", []byte(text(c.t, map[string]any{"ShardIterator": it})))
			records, _ := page["Records"].([]any)
			if len(records) == 0 {
				break
			}
			got.Records = append(got.Records, records...)
		}
		if fault != "" {
			c.t.Errorf("%s: got error %q", s.Stream, fault)
		}
		shards = append(shards, got)
	}
	if got, want := text(c.t, shards), text(c.t, s.Shards); got != want {
		c.t.Errorf("stream %s\ngot  %s\nwant %s", s.Stream, got, want)
	}
}

// call is request without what is volatile in the response.
func (c client) call(op string, body []byte) (response map[string]any, fault string) {
	c.t.Helper()
	response, fault = c.request(op, body)
	return stable(response).(map[string]any), fault
}

// request sends a request and returns its response, or the error's type and message.
func (c client) request(op string, body []byte) (response map[string]any, fault string) {
	c.t.Helper()
	target := "DynamoDB_20120810."
	if slices.Contains([]string{"DescribeStream", "GetShardIterator", "GetRecords"}, op) {
		target = "DynamoDBStreams_20120810."
	}
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for name, value := range map[string]string{
		"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target + op, "X-Amz-Date": "20261123T000000Z",
		"Authorization": "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c",
	} {
		req.Header.Set(name, value)
	}
	var sent bytes.Buffer
	if err := req.Write(&sent); err != nil {
		c.t.Fatal(err)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(new(fasthttp.Request), nil, nil)
	if err := ctx.Request.Read(bufio.NewReader(&sent)); err != nil {
		c.t.Fatal(err)
	}
	c.h.Serve(ctx)
	if response = map[string]any{}; len(ctx.Response.Body()) > 0 {
		response = decoded(c.t, ctx.Response.Body()).(map[string]any)
	}
	if ctx.Response.StatusCode() == http.StatusOK {
		return response, ""
	}
	_, kind, _ := strings.Cut(response["__type"].(string), "#")
	message, _ := response["message"].(string)
	if other, ok := response["Message"].(string); ok {
		message += other
	}
	return response, kind + ": " + message
}

// stable removes what is volatile.
func stable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if slices.Contains(volatile, name) {
				delete(v, name)
			} else {
				stable(member)
			}
		}
	case []any:
		for _, element := range v {
			stable(element)
		}
	}
	return v
}

func decoded(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// text returns v as JSON in canonical form: the members of objects are sorted by name.
func text(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
