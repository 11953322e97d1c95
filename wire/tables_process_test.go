package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTables runs `holdfast up` with its tables in a directory until the test ends, and waits
// until they answer.
func startTables(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	return startTablesAt(t, freeAddress(t), dir, flags...)
}

func startTablesAt(t *testing.T, address, dir string, flags ...string) *process {
	t.Helper()
	return startTablesOf(t, ours(t).argv[0], address, dir, flags...)
}

// startTablesOf is startTablesAt with another build.
func startTablesOf(t *testing.T, program, address, dir string, flags ...string) *process {
	t.Helper()
	argv := append([]string{"up", "--tables-listen", address, "--data", dir,
		"--cache-listen", "127.0.0.1:0", "--http-listen", "", "--memory", "8MiB"}, flags...)
	pr := &process{addr: address, signal: syscall.SIGTERM, exited: make(chan struct{})}
	pr.cmd = exec.Command(program, argv...)
	pr.cmd.Stderr = &pr.stderr
	if err := spawn(pr.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = pr.cmd.Wait() // the test that stopped it checks how it ended
		close(pr.exited)
	}()
	t.Cleanup(pr.stop)
	eventually(t, "the tables answer", func() bool {
		select {
		case <-pr.exited:
			t.Fatalf("%v ended: %v\n%s", pr.cmd.Args, pr.cmd.ProcessState, pr.stderr.String())
		default:
		}
		answer, err := http.Get("http://" + address)
		if err == nil {
			answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	})
	return pr
}

// A dynamo is a client of DynamoDB's API that handles the JSON itself, and so sees what SDKs hide.
type dynamo struct {
	address string
	client  http.Client
}

func newDynamo(address string) *dynamo {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	return &dynamo{address: address, client: http.Client{Timeout: patience, Transport: transport}}
}

func (d *dynamo) close() { d.client.CloseIdleConnections() }

// A refusal is a response that reports an error.
type refusal struct {
	status int
	Type   string `json:"__type"`
	Text   string `json:"message"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Type, r.Text) }

// is reports whether the error is of a type, given without its namespace.
func (r *refusal) is(name string) bool { return strings.HasSuffix(r.Type, "#"+name) }

// ask sends a request and decodes the response into answer, unless that is nil. The operations of
// streams begin with "Streams.".
func (d *dynamo) ask(operation, body string, answer any) error {
	target := "DynamoDB_20120810." + operation
	if name, ok := bytes.CutPrefix([]byte(operation), []byte("Streams.")); ok {
		target = "DynamoDBStreams_20120810." + string(name)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+d.address, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+
		"Credential=k/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	res, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		r := &refusal{status: res.StatusCode}
		if err := json.Unmarshal(text, r); err != nil {
			return fmt.Errorf("%d %s", res.StatusCode, text)
		}
		return r
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// must is ask for a request that must succeed.
func (d *dynamo) must(t *testing.T, operation, body string, answer any) {
	t.Helper()
	if err := d.ask(operation, body, answer); err != nil {
		t.Fatalf("%s %s: %v", operation, body, err)
	}
}

// active waits until a table is active.
func (d *dynamo) active(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" is active", func() bool {
		var answer struct{ Table struct{ TableStatus string } }
		d.must(t, "DescribeTable", fmt.Sprintf(`{"TableName":%q}`, name), &answer)
		return answer.Table.TableStatus == "ACTIVE"
	})
}
