package shard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// TestScripts runs the scripts in testdata. In them a block is a command a line, then "----", then
// their output, then an empty line. With HOLDFAST_REWRITE set, the present output is written into
// the scripts.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v, %v; want scripts", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { runScript(t, path) })
	}
}

func runScript(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &script{t: t, fs: vfs.NewCrashableMem(), clock: newClock()}
	r.open()
	defer func() { _ = r.store.Close() }()
	var now strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if strings.HasPrefix(block, "#") && !strings.Contains(block, "\n----") {
			now.WriteString(block + "\n\n")
			continue
		}
		commands, want, _ := strings.Cut(block, "\n----")
		got := ""
		for _, line := range strings.Split(commands, "\n") {
			if !strings.HasPrefix(line, "#") {
				got += r.do(strings.Fields(line))
			}
		}
		want = strings.TrimPrefix(want, "\n")
		if got = strings.TrimSuffix(got, "\n"); got != want {
			t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", path, commands, got, want)
		}
		now.WriteString(strings.TrimSuffix(commands+"\n----\n"+got, "\n") + "\n\n")
	}
	if os.Getenv("HOLDFAST_REWRITE") != "" {
		if err := os.WriteFile(path, []byte(strings.TrimSpace(now.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A script is a store on a memory disk with two shards.
type script struct {
	t      *testing.T
	fs     *vfs.MemFS
	clock  *clock
	schema Schema
	store  *Store
	shards map[holdfast.ShardID]*Shard
}

func (r *script) open() {
	if r.schema.Key.Hash.Name == "" {
		r.schema = testSchema()
		r.schema.Indexes = r.schema.Indexes[:3] // a script that wants another says so
	}
	o := memOptions(r.fs)
	o.Now = r.clock.read
	o.LogBytes = 1000
	o.term = formerTerm
	s, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	useLedger(r.t, s)
	r.store, r.shards = s, map[holdfast.ShardID]*Shard{}
	for _, id := range []holdfast.ShardID{1, 2} {
		if r.shards[id], err = s.Open(whole(id), r.schema); err != nil {
			r.t.Fatal(err)
		}
	}
}

// do does one command, and returns its lines.
func (r *script) do(words []string) string {
	out, err := r.command(words)
	if err != nil {
		var e *holdfast.Error
		if errors.As(err, &e) {
			return out + fmt.Sprintf("error (%v): %v\n", e.Kind, err)
		}
		return out + fmt.Sprintf("error: %v\n", err)
	}
	return out
}

// command knows: commit shard:put:id/n[,name=value…] or shard:del:id/n …; get shard id/n; scan
// shard [index] [reverse]; counts shard; changes shard [index.n] [max]; records; set name=value;
// advance duration; trim; crash; reopen; drop shard; expired shard; clear shard index; without
// index; with; fill shard index n; copy from to [ago]; flush; check.
func (r *script) command(words []string) (string, error) {
	s := r.store
	switch words[0] {
	case "commit":
		return r.commit(words[1:])
	case "set":
		name, value, _ := strings.Cut(words[1], "=")
		err := s.SaveRecords(bg, []Record{{Name: name, Value: []byte(value)}}, false)
		return "", err
	case "records":
		all, err := s.Records("")
		out := ""
		for _, record := range all {
			out += fmt.Sprintf("%s=%s\n", record.Name, record.Value)
		}
		return out, err
	case "advance":
		d, err := time.ParseDuration(words[1])
		r.clock.advance(d)
		return "", err
	case "trim":
		return "", s.Trim(bg)
	case "flush":
		return "", s.engine.db.Flush()
	case "crash":
		r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{})
		old := s
		r.open()
		return "", old.Close()
	case "reopen":
		err := s.Close()
		r.open()
		return "", err
	case "check":
		if err := s.Close(); err != nil {
			return "", err
		}
		checked, err := Check(bg, memOptions(r.fs), func(*Store) (map[holdfast.ShardID]Schema, error) {
			return map[holdfast.ShardID]Schema{1: r.schema, 2: r.schema}, nil
		}, nil, func(f Fault) { r.t.Errorf("got fault %+v; want none", f) })
		r.open()
		checked.Files = 0
		return fmt.Sprintf("%+v\n", checked), err
	}
	id, err := strconv.Atoi(words[1])
	if err != nil {
		return "", err
	}
	return r.ofShard(words[0], holdfast.ShardID(id), words[2:])
}

func (r *script) ofShard(command string, id holdfast.ShardID, words []string) (string, error) {
	sh := r.shards[id]
	switch command {
	case "drop":
		return "", r.store.Drop(whole(id))
	case "get":
		it, err := sh.Get(bg, keyOf(r.t, parseThing(words[0])))
		return drawn(it) + "\n", err
	case "scan":
		return r.scan(sh, words)
	case "counts":
		c := sh.Counts()
		out := fmt.Sprintf("applied %d, %d items, %d bytes, %d bytes of log\n", c.Applied, c.Items, c.ItemBytes, c.LogBytes)
		for i := range uint32(8) {
			if x, ok := c.Indexes[i]; ok {
				out += fmt.Sprintf("index %d: %d items, %d bytes\n", i, x.Items, x.Bytes)
			}
		}
		return out, nil
	case "changes":
		return r.changes(sh, words)
	case "expired":
		keys, err := sh.Expired(r.clock.read(), 10, 1<<16)
		out := ""
		for _, key := range keys {
			it, _ := r.schema.Key.Decode(key)
			out += drawn(it) + "\n"
		}
		return out, err
	case "schema":
		return "", r.setSchema(sh, words)
	case "fill":
		return r.fill(sh, words)
	case "clear":
		index, _ := strconv.Atoi(words[0])
		return "", sh.Clear(uint32(index))
	case "copy":
		return r.copy(sh, words)
	}
	return "", fmt.Errorf("no command %s", command)
}

func (r *script) commit(words []string) (string, error) {
	var c Commit
	for _, word := range words {
		parts := strings.SplitN(word, ":", 3)
		id, _ := strconv.Atoi(parts[0])
		sh, it := r.shards[holdfast.ShardID(id)], parseThing(parts[2])
		if parts[1] == "put" {
			c.Writes = append(c.Writes, put(r.t, sh, it))
		} else {
			c.Writes = append(c.Writes, remove(r.t, sh, it))
		}
	}
	results, err := r.store.Commit(bg, c)
	out := ""
	for _, result := range results {
		out += fmt.Sprintf("%v: %s → %s\n", result.Tx, drawn(result.Before), drawn(result.After))
	}
	return out, err
}

func (r *script) scan(sh *Shard, words []string) (string, error) {
	var span Span
	for _, word := range words {
		if word == "reverse" {
			span.Reverse = true
			continue
		}
		index, _ := strconv.Atoi(word)
		span.Index = uint32(index)
	}
	c, err := sh.Cursor(bg, span)
	if err != nil {
		return "", err
	}
	out := ""
	for c.Next() {
		it, err := c.Item()
		if err != nil {
			return out, err
		}
		out += drawn(it) + "\n"
	}
	return out, c.Close()
}

func (r *script) changes(sh *Shard, words []string) (string, error) {
	var from holdfast.Position
	var limit Limit
	if len(words) > 0 {
		fmt.Sscanf(words[0], "%d.%d", &from.Index, &from.N)
	}
	if len(words) > 1 {
		limit.Changes, _ = strconv.Atoi(words[1])
	}
	changes, next, err := sh.Changes(from, limit)
	out := ""
	for _, c := range changes {
		out += fmt.Sprintf("%v.%d at %ds: %s → %s\n", c.Tx, c.N, c.At.Unix()-1_700_000_000, drawn(c.Before), drawn(c.After))
	}
	return out + fmt.Sprintf("next %d.%d\n", next.Index, next.N), err
}

// setSchema has the shards opened with those indexes of testSchema, and ttl if it is among them.
func (r *script) setSchema(sh *Shard, words []string) error {
	r.schema.Indexes, r.schema.TTL = nil, ""
	for _, word := range words {
		if word == "ttl" {
			r.schema.TTL = word
			continue
		}
		index, _ := strconv.Atoi(word)
		r.schema.Indexes = append(r.schema.Indexes, testSchema().Indexes[index-1])
	}
	return sh.SetSchema(r.schema)
}

// fill fills an index, or the queue of expiring items, with so many items at a time.
func (r *script) fill(sh *Shard, words []string) (string, error) {
	n, _ := strconv.Atoi(words[1])
	var from item.Key
	for steps := 1; ; steps++ {
		var err error
		if words[0] == "ttl" {
			from, err = sh.BackfillTTL(bg, from, n)
		} else {
			index, _ := strconv.Atoi(words[0])
			from, err = sh.Backfill(bg, uint32(index), from, n)
		}
		if err != nil || from == nil {
			return fmt.Sprintf("%d steps\n", steps), err
		}
	}
}

func (r *script) copy(sh *Shard, words []string) (string, error) {
	to, _ := strconv.Atoi(words[0])
	var at time.Time
	if len(words) > 1 {
		ago, err := time.ParseDuration(words[1])
		if err != nil {
			return "", err
		}
		at = r.clock.read().Add(-ago)
	}
	id := holdfast.ShardID(to)
	if err := r.store.Drop(whole(id)); err != nil {
		return "", err
	}
	counts, err := r.store.Copy(bg, sh, whole(id), at)
	if err != nil {
		return "", err
	}
	r.shards[id], err = r.store.Open(whole(id), r.schema)
	return fmt.Sprintf("%d items, %d bytes\n", counts.Items, counts.ItemBytes), err
}

// parseThing parses id/n,name=value…; numbers are numbers.
func parseThing(text string) item.Item {
	key, rest, _ := strings.Cut(text, ",")
	id, sort, _ := strings.Cut(key, "/")
	n, _ := strconv.Atoi(sort)
	var attrs []any
	for _, attr := range strings.Split(rest, ",") {
		name, value, ok := strings.Cut(attr, "=")
		if !ok {
			continue
		}
		if i, err := strconv.Atoi(value); err == nil {
			attrs = append(attrs, name, i)
		} else {
			attrs = append(attrs, name, value)
		}
	}
	return thing(id, n, attrs...)
}

// drawn is what parseThing parses.
func drawn(it item.Item) string {
	if it == nil {
		return "none"
	}
	id, _ := it.Get("id")
	n, _ := it.Get("n")
	out := id.Text + "/" + n.Text
	for _, attr := range it {
		if attr.Name != "id" && attr.Name != "n" {
			out += "," + attr.Name + "=" + attr.Value.Text
		}
	}
	return out
}
