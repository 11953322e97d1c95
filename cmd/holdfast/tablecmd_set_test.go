package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// createTable creates a table of a running server through DynamoDB's API.
func createTable(t *testing.T, url, name string) {
	t.Helper()
	body := `{"TableName":"` + name + `","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
	request.Header.Set("X-Amz-Date", "20261130T120000Z")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20261130/us-east-1/dynamodb/aws4_request, "+
		"SignedHeaders=host;x-amz-date, Signature=b")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("CreateTable: got %d, %s, %v", response.StatusCode, text, err)
	}
}

// Tags are set, changed and removed through any node, and what the server refuses changes nothing.
func TestTableSet(t *testing.T) {
	p := start(t, "holdfast", "up", "--nodes", "3", "--data", filepath.Join(t.TempDir(), "data"), "--cache-listen",
		"127.0.0.1:0", "--tables-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--cluster-listen",
		"127.0.0.1:0")
	first := p.await(`DynamoDB's API on (\S+), node 1,`)[1]
	third := p.await(`DynamoDB's API on (\S+), node 3,`)[1]
	status := p.await(`HTTP on http://(\S+), node 1:`)[1]
	p.await("Ctrl-C stops it")
	awaitLeader(t, status)
	createTable(t, first, "users")

	const semisync, team = "holdfast:acknowledge=semisync:2\n", "team=web\n"
	for _, test := range []struct {
		url, args      string
		code           int
		stdout, stderr string
	}{
		{first, "users holdfast:acknowledge=semisync:2", 0, semisync, ""},
		{third, "users team=web a=b=c", 0, "a=b=c\n" + semisync + team, ""},
		{third, "users holdfast:acknowledge=sync a=", 0, "holdfast:acknowledge=sync\n" + team, ""},
		{first, "users none=", 0, "holdfast:acknowledge=sync\n" + team, ""},
		{first, "users holdfast:acknowledge=semisync:3 team=", 1, "",
			"holdfast: ValidationException: One or more parameter values were invalid: tag " +
				"holdfast:acknowledge=semisync:3: the replicas of a table have 2 followers here\n"},
		{third, "users holdfast:colour=red", 1, "",
			"holdfast: ValidationException: One or more parameter values were " +
				"invalid: tag holdfast:colour=red: there is no such setting: "},
		{first, "nobody team=web", 1, "", "holdfast: ResourceNotFoundException: "},
		{first, "users team", 1, "", "holdfast: \"team\": want NAME=VALUE, or NAME= to remove a tag\n"},
		{first, "users =web", 1, "", "holdfast: \"=web\": want NAME=VALUE, or NAME= to remove a tag\n"},
		{first, "users team=a team=", 1, "", "holdfast: \"team=\": tag team is there twice\n"},
		{first, "users", 1, "", "holdfast: "},
		{third, "users holdfast:acknowledge= team=", 0, "", ""},
	} {
		args := append([]string{"table", "--endpoint", test.url, "set"}, strings.Fields(test.args)...)
		code, stdout, stderr := command(args...)
		if code != test.code || stdout != test.stdout || !strings.HasPrefix(stderr, test.stderr) ||
			test.stderr == "" && stderr != "" {
			t.Errorf("set %s:\ngot  %d, %q, %q\nwant %d, %q, %q", test.args, code, stdout, stderr, test.code,
				test.stdout, test.stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}
