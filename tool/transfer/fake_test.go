package transfer

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeServer serves one table, users, with the key id, and the operations that this package uses.
type fakeServer struct {
	t *testing.T

	mu       sync.Mutex // guards what follows
	items    map[string]item
	requests map[string]int  // by operation
	busy     int             // how many of the next requests are throttled
	leave    int             // of how many of the next batches half is left unprocessed
	refuse   map[string]bool // ids that are invalid
	headers  http.Header     // of the last request
	page     int             // items of a page of a scan
	tags     map[string]string
}

// newFake returns a server and a client of it, which retries three times.
func newFake(t *testing.T) (*fakeServer, *Client) {
	f := &fakeServer{t: t, items: make(map[string]item), requests: make(map[string]int),
		refuse: make(map[string]bool), page: 7, tags: make(map[string]string)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := NewClient(Options{Endpoint: server.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "s",
		Retries: 3, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return f, client
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client was interrupted while it sent the request
	}
	f.headers = r.Header
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	f.requests[operation]++
	if f.busy > 0 && operation != "DescribeTable" {
		f.busy--
		f.fail(w, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "slow down")
		return
	}
	var request struct {
		TableName               string
		ExclusiveStartTableName string
		Segment, TotalSegments  int
		ExclusiveStartKey       item
		RequestItems            map[string][]writeRequest
		Item                    item
		ResourceArn, NextToken  string
		Tags                    []tag
		TagKeys                 []string
	}
	if err := json.Unmarshal(body, &request); err != nil {
		f.t.Error(err)
	}
	switch operation {
	case "ListTables":
		if request.ExclusiveStartTableName == "" {
			fmt.Fprint(w, `{"TableNames":["a","b"],"LastEvaluatedTableName":"b"}`)
		} else {
			fmt.Fprint(w, `{"TableNames":["users"]}`)
		}
	case "DescribeTable":
		if request.TableName != "users" {
			f.fail(w, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "Requested resource not found")
			return
		}
		fmt.Fprintf(w, `{"Table":{"TableName":"users","TableStatus":"ACTIVE","ItemCount":%d,"TableArn":"arn:users",
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
			"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]}}`, len(f.items))
	case "Scan":
		f.scan(w, request.Segment, request.TotalSegments, request.ExclusiveStartKey)
	case "TagResource":
		for _, one := range request.Tags {
			if f.refuse[one.Key] {
				f.fail(w, "com.amazon.coral.validate#ValidationException", "no "+one.Key)
				return
			}
			f.tags[request.ResourceArn+one.Key] = one.Value
		}
	case "UntagResource":
		for _, name := range request.TagKeys {
			delete(f.tags, request.ResourceArn+name)
		}
	case "ListTagsOfResource":
		f.listTags(w, request.ResourceArn, request.NextToken)
	case "PutItem":
		f.put(w, []item{request.Item}, 1)
	case "BatchWriteItem":
		var items []item
		for _, one := range request.RequestItems["users"] {
			items = append(items, one.PutRequest.Item)
		}
		n := len(items)
		if f.leave > 0 {
			f.leave--
			n /= 2
		}
		f.put(w, items, n)
	}
}

func (f *fakeServer) fail(w http.ResponseWriter, typ, message string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":%q}`, typ, message)
}

// put stores the first n items and returns the others as unprocessed.
func (f *fakeServer) put(w http.ResponseWriter, items []item, n int) {
	ids := make(map[string]bool)
	for _, it := range items {
		id := string(it["id"])
		if f.refuse[id] || id == "" || ids[id] || len(items) > batchItems {
			f.fail(w, "com.amazon.coral.validate#ValidationException", "no "+id)
			return
		}
		ids[id] = true
	}
	left := make([]writeRequest, len(items)-n)
	for i, it := range items {
		if i < n {
			f.items[string(it["id"])] = it
		} else {
			left[i-n].PutRequest.Item = it
		}
	}
	answer, err := json.Marshal(map[string]any{"UnprocessedItems": map[string]any{"users": left}})
	if err != nil {
		f.t.Error(err)
	}
	w.Write(answer)
}

// listTags returns one tag at a time.
func (f *fakeServer) listTags(w http.ResponseWriter, arn, after string) {
	var page struct {
		Tags      []tag
		NextToken string `json:",omitempty"`
	}
	for _, key := range slices.Sorted(maps.Keys(f.tags)) {
		if name, ok := strings.CutPrefix(key, arn); ok && name > after {
			page.Tags, page.NextToken = []tag{{name, f.tags[key]}}, name
			break
		}
	}
	answer, err := json.Marshal(page)
	if err != nil {
		f.t.Error(err)
	}
	w.Write(answer)
}

// scan returns a page of a segment: every segments-th item.
func (f *fakeServer) scan(w http.ResponseWriter, segment, segments int, start item) {
	var page struct {
		Items            []item
		LastEvaluatedKey item `json:",omitempty"`
	}
	for i, id := range slices.Sorted(maps.Keys(f.items)) {
		if i%segments != segment || start != nil && id <= string(start["id"]) {
			continue
		}
		page.Items = append(page.Items, f.items[id])
		if len(page.Items) == f.page {
			page.LastEvaluatedKey = item{"id": json.RawMessage(id)}
			break
		}
	}
	answer, err := json.Marshal(page)
	if err != nil {
		f.t.Error(err)
	}
	w.Write(answer)
}
