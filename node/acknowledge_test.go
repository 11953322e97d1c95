package node

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// acknowledgingTable is the creation of a table that acknowledges by a policy.
func acknowledgingTable(name, policy string) string {
	return fmt.Sprintf(`{"TableName":"%s","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"Tags":[{"Key":"holdfast:acknowledge","Value":"%s"},{"Key":"holdfast:replicas","Value":"3"}]}`, name, policy)
}

func putInto(table string, id int) string {
	return fmt.Sprintf(`{"TableName":"%s","Item":{"id":{"S":"%d"}}}`, table, id)
}

// What a table acknowledges by is refused at once while too few nodes are up for it, by each table's
// own policy, and nothing is changed; another policy can be set, through any node.
func TestAcknowledgement(t *testing.T) {
	c := openCluster(t, 3)
	policies := map[string]string{"quick": "async", "usual": "semisync", "two": "semisync:2", "all": "sync"}
	for table, policy := range policies {
		c.create(0, table, acknowledgingTable(table, policy))
		for i := range 3 {
			c.expect(i, "PutItem", putInto(table, i), "{")
		}
	}
	leader := c.leader()
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == leader })
	c.vanish(others[0])
	down := fmt.Sprintf("and of its followers node %d is down, or confirms nothing; start it again, or change "+
		"holdfast:acknowledge of the table", others[0]+1)
	for _, table := range []string{"two", "all"} {
		want := fmt.Sprintf(`nothing was changed: shard \d+ of table %s acknowledges %s, %s`, table, policies[table],
			down)
		c.wantRefused(others[1], putInto(table, 9), want)
		c.expect(leader, "GetItem", fmt.Sprintf(`{"TableName":"%s","Key":{"id":{"S":"0"}},"ConsistentRead":true}`,
			table), `"0"`)
	}
	for _, table := range []string{"quick", "usual"} {
		c.expect(others[1], "PutItem", putInto(table, 8), "{")
	}
	put := `[{"PutRequest":{"Item":{"id":{"S":"batch"}}}}]`
	batch := fmt.Sprintf(`{"RequestItems":{"all":%s,"quick":%s,"two":%s,"usual":%s}}`, put, put, put, put)
	answer := c.ask(others[1], "BatchWriteItem", batch)
	for table := range policies {
		if left := table == "all" || table == "two"; left != strings.Contains(answer, `"`+table+`":[`) {
			t.Errorf("a batch of all tables: got %s; want that all and two alone are unprocessed", answer)
		}
	}
	transaction := fmt.Sprintf(`{"TransactItems":[{"Put":%s},{"Put":%s},{"Put":%s}]}`, putInto("quick", 5),
		putInto("all", 5), putInto("usual", 5))
	status, text := askTables(t, c.nodes[others[1]], "TransactWriteItems", transaction)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "table all acknowledges sync, ") ||
		strings.Contains(text, "table quick acknowledges") || strings.Contains(text, "table usual acknowledges") {
		t.Errorf("a transaction of several tables: got %d %s; want 503 because of table all", status, text)
	}
	c.tag("all", others[1], "semisync:1")
	c.expect(leader, "PutItem", putInto("all", 8), "{")

	c.vanish(others[1])
	for table := range policies {
		c.wantRefused(leader, putInto(table, 7), "nothing was changed: ")
	}
	c.open(others[0])
	c.open(others[1])
	for table := range policies {
		c.eventually(others[0], putInto(table, 7))
		c.expect(others[1], "GetItem", fmt.Sprintf(`{"TableName":"%s","Key":{"id":{"S":"7"}},"ConsistentRead":true}`,
			table), `"7"`)
	}
}

// wantRefused checks that a put is refused within two seconds, once that the node is down is known.
func (c *testCluster) wantRefused(i int, body, want string) {
	c.t.Helper()
	for began := time.Now(); ; {
		asked := time.Now()
		status, answer := askTables(c.t, c.nodes[i], "PutItem", body)
		refused, err := regexp.MatchString(want, answer)
		switch {
		case err != nil:
			c.t.Fatal(err)
		case status == http.StatusServiceUnavailable && refused && time.Since(asked) < 2*time.Second:
			return
		case time.Since(began) > time.Minute:
			c.t.Fatalf("%s: got %d %s; want 503 %s", body, status, answer, want)
		}
	}
}

// eventually repeats a put until the nodes are up that it needs.
func (c *testCluster) eventually(i int, body string) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		status, answer := askTables(c.t, c.nodes[i], "PutItem", body)
		if status == http.StatusOK {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("%s: got %d %s for a minute; want 200", body, status, answer)
		}
	}
}

// tag sets what a table acknowledges by, and checks that every node that is up shows it.
func (c *testCluster) tag(table string, i int, policy string) {
	c.t.Helper()
	found := regexp.MustCompile(`"TableArn":"([^"]+)"`).FindStringSubmatch(
		c.ask(i, "DescribeTable", fmt.Sprintf(`{"TableName":"%s"}`, table)))
	if found == nil {
		c.t.Fatal("a table without an ARN")
	}
	resource := fmt.Sprintf(`"ResourceArn":"%s"`, found[1])
	set := func(value string) string {
		return fmt.Sprintf(`{%s,"Tags":[{"Key":"holdfast:acknowledge","Value":"%s"}]}`, resource, value)
	}
	for value, want := range map[string]string{
		"semisync:3": "tag holdfast:acknowledge=semisync:3: the replicas of a table have 2 followers here",
		"soon":       "tag holdfast:acknowledge=soon: ",
	} {
		status, answer := askTables(c.t, c.nodes[i], "TagResource", set(value))
		if status != http.StatusBadRequest || !strings.Contains(answer, "ValidationException") ||
			!strings.Contains(answer, want) {
			c.t.Errorf("%s: got %d %s; want 400 %s", value, status, answer, want)
		}
	}
	c.ask(i, "TagResource", set(policy))
	c.expect(i, "ListTagsOfResource", "{"+resource+"}",
		fmt.Sprintf(`{"Key":"holdfast:acknowledge","Value":"%s"}`, policy))
}
