package node

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/config"
)

// Provisioned throughput is enforced only where that is asked for.
func TestThrottleIsAskedFor(t *testing.T) {
	const create = `{"TableName":"small","ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1},` +
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`
	put := `{"TableName":"small","Item":{"id":{"S":"1"},"v":{"S":"` + strings.Repeat("x", 390_000) + `"}}}` // 381 units, of 300 saved
	for _, throttle := range []bool{config.Default().Tables.Throttle, true} {
		c := tablesConfig(t)
		c.Tables.Throttle = throttle
		n := open(t, c)
		expectTables(t, n, "CreateTable", create, "small")
		expectTables(t, n, "PutItem", put, "{")
		status, body := askTables(t, n, "PutItem", put)
		if got := strings.Contains(body, "ProvisionedThroughputExceededException"); got != throttle ||
			throttle == (status == http.StatusOK) {
			t.Errorf("throttle %v: got %d %s", throttle, status, body)
		}
		if throttle == config.Default().Tables.Throttle && throttle {
			t.Error("got throttling by default; want none")
		}
	}
}
