package node

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/config"
)

// tablesConfig has tables in a folder of the test's, on a free port.
func tablesConfig(t *testing.T) config.Config {
	t.Helper()
	c := testConfig()
	c.Tables = config.Default().Tables
	c.Tables.Listen, c.Tables.Data = "127.0.0.1:0", filepath.Join(t.TempDir(), "data")
	c.Tables.Reserve = 1 << 20
	return c
}

// askTables sends a request with some credentials, and returns the answer's status and body.
func askTables(t *testing.T, n *Node, operation, body string) (int, string) {
	t.Helper()
	status, text, err := request(n.TablesAddr().String(), operation, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

// request is askTables for the node whose tables listen at an address.
func request(address, operation, body string) (status int, text string, err error) {
	status, text, _, err = requestAfter("", address, operation, body)
	return status, text, err
}

// requestAfter is request with a token, and returns that of the response; "" is none.
func requestAfter(seen, address, operation, body string) (status int, text, token string, err error) {
	req, err := requestTo(address, operation, body)
	if err != nil {
		return 0, "", "", err
	}
	if seen != "" {
		req.Header.Set("X-Holdfast-Token", seen)
	}
	return answerTo(http.DefaultClient, req)
}

// requestTo returns a request to the node whose tables listen at an address.
func requestTo(address, operation, body string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", targetOf(operation))
	req.Header.Set("X-Amz-Date", "20260101T000000Z")
	req.Header.Set("Authorization",
		"AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	return req, nil
}

// answerTo sends a request, and returns its response, with its token; "" is none.
func answerTo(client *http.Client, req *http.Request) (status int, text, token string, err error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), res.Header.Get("X-Holdfast-Token"), err
}

// targetOf returns the header's value for an operation of tables or of their streams.
func targetOf(operation string) string {
	switch operation {
	case "DescribeStream", "GetShardIterator", "GetRecords", "ListStreams":
		return "DynamoDBStreams_20120810." + operation
	}
	return "DynamoDB_20120810." + operation
}

func expectTables(t *testing.T, n *Node, operation, body, want string) {
	t.Helper()
	status, got := askTables(t, n, operation, body)
	if status != http.StatusOK || !strings.Contains(got, want) {
		t.Fatalf("%s %s: got %d %s; want 200 and %s", operation, body, status, got, want)
	}
}

const createUsers = `{"TableName":"users","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`

func TestTablesOutliveTheNode(t *testing.T) {
	c := tablesConfig(t)
	n := open(t, c)
	expectTables(t, n, "CreateTable", createUsers, "users")
	expectTables(t, n, "PutItem", `{"TableName":"users","Item":{"id":{"S":"1"},"name":{"S":"Ann"}}}`, "{")
	if _, body := get(t, n, "/metrics"); !strings.Contains(body, `holdfast_tables_requests_total{op="PutItem",result="ok"} 1`) {
		t.Errorf("/metrics: got %s; want the put in it", body)
	}
	if _, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err == nil ||
		!strings.Contains(err.Error(), c.Tables.Data) {
		t.Errorf("a second node with the same folder: got %v; want an error that names it", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var faults bytes.Buffer
	summary, err := CheckData(context.Background(), c.Tables.Data, slog.New(slog.DiscardHandler),
		func(f string) { faults.WriteString(f + "\n") })
	if err != nil || faults.Len() > 0 || !strings.Contains(summary, "items 1") {
		t.Errorf("check: got %q, %v, faults %q; want one item, and no faults", summary, err, faults.String())
	}
	n = open(t, c)
	expectTables(t, n, "GetItem", `{"TableName":"users","Key":{"id":{"S":"1"}}}`, "Ann")
}

func TestTablesKeysAreReadAgain(t *testing.T) {
	c := tablesConfig(t)
	c.Tables.KeysFile = filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		if err := os.WriteFile(c.Tables.KeysFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\nk:secret\n")
	n := open(t, c)
	if status, body := askTables(t, n, "ListTables", "{}"); status != http.StatusBadRequest || !strings.Contains(body,
		"SignatureException") {
		t.Errorf("with keys: got %d %s; want the signature refused", status, body)
	}
	for text, want := range map[string]string{"k": "line 1", "": "no keys", "a:b\na:c\n": "twice"} {
		write(text)
		if err := n.Reload(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("keys %q: got %v; want %s", text, err, want)
		}
	}
	write("k:another\n")
	if err := n.Reload(); err != nil {
		t.Error(err)
	}
}

// A full disk is no reason to restart the node, so /healthz answers 200 and says it.
func TestHealthTellsOfAFullDisk(t *testing.T) {
	c := tablesConfig(t)
	n := open(t, c)
	if status, body := get(t, n, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("got %d %q; want ok", status, body)
	}
	c = tablesConfig(t)
	c.Tables.Reserve = 1 << 50 // more than any disk has
	n = open(t, c)
	if status, body := askTables(t, n, "CreateTable", createUsers); status != http.StatusServiceUnavailable {
		t.Errorf("a table: got %d %s; want 503", status, body)
	}
	status, body := get(t, n, "/healthz")
	if status != http.StatusOK || strings.Contains(body, "ok\n") || !strings.Contains(body,
		"they are accepted again with 1476395008 MiB") || !strings.Contains(body,
		"tables: writes are refused, the disk is full: ") {
		t.Errorf("got %d %q; want 200 and that writes are refused", status, body)
	}
	if _, body := get(t, n, "/metrics"); !strings.Contains(body, "holdfast_tables_disk_full 1\n") {
		t.Error("/metrics: got no holdfast_tables_disk_full 1")
	}
}
