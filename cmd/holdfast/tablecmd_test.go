package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// startTables serves a table of users as far as the commands need it, and returns its URL.
func startTables(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex // guards items
	items := []json.RawMessage{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var request struct {
			TableName    string
			Segment      int
			RequestItems map[string][]struct {
				PutRequest struct{ Item json.RawMessage }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		switch operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810."); {
		case operation == "ListTables":
			fmt.Fprint(w, `{"TableNames":["sessions","users"]}`)
		case operation == "DescribeTable" && request.TableName != "users":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found: Table: x not found"}`)
		case operation == "DescribeTable":
			fmt.Fprintf(w, `{"Table":{"TableName":"users","TableStatus":"ACTIVE","ItemCount":%d,"TableSizeBytes":9,
				"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"at","KeyType":"RANGE"}],
				"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"at","AttributeType":"N"},
					{"AttributeName":"city","AttributeType":"S"},{"AttributeName":"zip","AttributeType":"B"}],
				"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},
				"LocalSecondaryIndexes":[{"IndexName":"by-name","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["a","b"]}}],
				"GlobalSecondaryIndexes":[{"IndexName":"by-at","IndexStatus":"CREATING","KeySchema":[{"AttributeName":"at","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}},
					{"IndexName":"by-place","IndexStatus":"ACTIVE","KeySchema":[{"AttributeName":"city","KeyType":"HASH"},{"AttributeName":"zip","KeyType":"HASH"},
						{"AttributeName":"at","KeyType":"RANGE"},{"AttributeName":"id","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}],
				"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}}`, len(items))
		case operation == "Scan":
			page := items
			if request.Segment > 0 {
				page = nil
			}
			answer, err := json.Marshal(map[string]any{"Items": page})
			if err != nil {
				t.Error(err)
			}
			w.Write(answer)
		case operation == "BatchWriteItem":
			for _, one := range request.RequestItems["users"] {
				items = append(items, one.PutRequest.Item)
			}
			fmt.Fprint(w, `{"UnprocessedItems":{}}`)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

const usersCSV = "id:S,at:N,name:S\na,1,Ann\nb,2,\n"

const describedUsers = `table    users, active
key      id (S), then at (N)
billing  on demand
size     about 2 items, 9 bytes
index    by-name, local: id (S); projects include a, b; about 0 items, 0 bytes
index    by-at, global, creating: at (N); projects keys only; about 0 items, 0 bytes
index    by-place, global: city (S) and zip (B), then at (N), then id (S); projects all; about 0 items, 0 bytes
stream   new image
`

func TestTableCommands(t *testing.T) {
	url, dir := startTables(t), t.TempDir()
	path := filepath.Join(dir, "users.csv")
	if err := os.WriteFile(path, []byte(usersCSV), 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.json.gz")
	for _, test := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"list", 0, "sessions\nusers\n", ""},
		{"import users " + path, 0, "", "2 items of " + path + " in users\n"},
		{"describe users", 0, describedUsers, ""},
		{"export users --format csv", 0, usersCSV, ""},
		{"export users " + again, 0, "", "2 items of users in " + again + "\n"},
		{"import users --format json " + again, 0, "", "2 items of " + again + " in users\n"},
		{"describe none", 1, "", "holdfast: ResourceNotFoundException: Requested resource not found: Table: x not found\n"},
		{"import users " + path + " --from-line 9", 0, "", "0 items of " + path + " in users\n"},
		{
			"import users " + path + " --types x=N",
			1,
			"",
			"holdfast: " + path + ": there is a type for \"x\", but no such column\n",
		},
		{
			"import users " + path + " --types x=Y",
			1,
			"",
			"holdfast: --types x=Y: want name=TYPE, with S, N, B, BOOL, NULL, SS, NS, BS, L or M\n",
		},
		{
			"import users " + path + " --format json",
			1,
			"",
			"holdfast: " + path + ": line 1: isn't JSON: invalid character 'i' looking for beginning of value; 0 items are " +
				"written; continue with --from-line 1\n",
		},
		{"export users --format xml", 1, "", "holdfast: --format xml: want one of [json csv]\n"},
		{"export users " + dir + "/none/x.json", 1, "", "holdfast: open "},
		{"export users --segments 999", 1, "", "holdfast: segments 999: want 1 to 256\n"},
		{"list --endpoint ftp://x", 1, "", `holdfast: endpoint "ftp://x": want a URL such as http://127.0.0.1:8000` + "\n"},
	} {
		args := append([]string{"table", "--endpoint", url}, strings.Fields(test.args)...)
		code, stdout, stderr := command(args...)
		if code != test.code || stdout != test.stdout || !strings.HasPrefix(stderr, test.stderr) ||
			test.stderr == "" && stderr != "" {
			t.Errorf("%s:\ngot  %d, %q, %q\nwant %d, %q, %q", test.args, code, stdout, stderr, test.code, test.stdout,
				test.stderr)
		}
	}
	if left, err := filepath.Glob(dir + "/*.partial"); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v; want no partial files", left, err)
	}
}

func TestTableCheckOfNoFolder(t *testing.T) {
	for _, action := range []string{"check", "recover"} {
		dir := filepath.Join(t.TempDir(), "none")
		code, stdout, stderr := command("table", action, dir)
		if code != 1 || stdout != "" || !strings.Contains(stderr, dir) {
			t.Errorf("%s: got %d, %q, %q; want 1 and the folder's name", action, code, stdout, stderr)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: got %v; want no folder", action, err)
		}
	}
}
