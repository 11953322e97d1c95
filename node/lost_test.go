package node

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/group"
)

// A write that a table acknowledges async, and that its leader alone has when it fails, is lost: each
// other node says so to whoever sends its token, and never waits for it or serves past it. Without the
// token, or with a new one, all goes on. The former leader doesn't show the write either, neither before
// it hears the others again nor afterwards, and says that it is lost.
func TestALostWriteIsReported(t *testing.T) {
	for name, killed := range map[string]bool{"cut off": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			var cut atomic.Uint64 // the node whose groups reach no other's; 0: none
			c := openClusterWith(t, 3, func(o *group.Options) {
				send := o.Send
				o.Send = func(m group.Message) {
					if off := cut.Load(); off == 0 || uint64(m.From) != off && uint64(m.To) != off {
						send(m)
					}
				}
			})
			c.create(0, "quick", acknowledgingTable("quick", "async"))
			old := c.leader()
			put := func(i int, seen, town string) string {
				t.Helper()
				body := fmt.Sprintf(`{"TableName":"quick","Item":{"id":{"S":"1"},"town":{"S":"%s"}}}`, town)
				for began := time.Now(); ; {
					status, text, token := c.askAfter(i, seen, "PutItem", body)
					switch {
					case status == http.StatusOK && token != "":
						return token
					case status != http.StatusServiceUnavailable || time.Since(began) > time.Minute:
						t.Fatalf("node %d: got %d %s, token %q; want it acknowledged", i+1, status, text, token)
					}
				}
			}
			get := func(consistent bool) string {
				return fmt.Sprintf(`{"TableName":"quick","Key":{"id":{"S":"1"}},"ConsistentRead":%t}`, consistent)
			}
			kept := put(old, "1", "Ulm")
			for i := range c.nodes { // all have it, so that they all can say that what comes next is lost
				if status, text, _ := c.askAfter(i, kept, "GetItem", get(false)); status != http.StatusOK {
					t.Fatalf("node %d: got %d %s", i+1, status, text)
				}
			}
			cut.Store(uint64(old + 1))
			lost := put(old, kept, "Bonn")
			if _, text := askTables(t, c.nodes[old], "GetItem", get(false)); !strings.Contains(text, "Ulm") {
				t.Errorf("the leader that is cut off: got %s; want what is committed", text)
			}
			if killed {
				c.vanish(old)
			}

			want := regexp.MustCompile(`^\{"__type":"com\.holdfast#TokenLostException","message":` +
				`"write \d+/\d+/\d+ of table quick was lost when its leader failed: the table acknowledges async"`)
			reported := func(i int) {
				t.Helper()
				for operation, body := range map[string]string{"GetItem": get(false), "PutItem": putInto("quick", 1)} {
					for began := time.Now(); ; {
						status, text, _ := c.askAfter(i, lost, operation, body)
						if status == http.StatusBadRequest && want.MatchString(text) {
							break
						}
						// Until another node leads, nobody knows; the token isn't ignored.
						if status != http.StatusServiceUnavailable || time.Since(began) > time.Minute {
							t.Fatalf("node %d, %s: got %d %s; want 400 %v", i+1, operation, status, text, want)
						}
					}
				}
			}
			others := []int{(old + 1) % 3, (old + 2) % 3}
			for _, i := range others {
				reported(i)
				c.expect(i, "GetItem", get(true), "Ulm")
			}
			fresh := put(others[0], kept, "Kiel")
			cut.Store(0)
			if killed {
				c.open(old)
			}
			reported(old)
			for i := range c.nodes {
				for began := time.Now(); ; {
					status, text, _ := c.askAfter(i, fresh, "GetItem", get(false))
					if status == http.StatusOK && strings.Contains(text, "Kiel") {
						break
					}
					if status != http.StatusServiceUnavailable || time.Since(began) > time.Minute {
						t.Fatalf("node %d, with a new token: got %d %s; want Kiel", i+1, status, text)
					}
				}
				reported(i)
				c.expect(i, "GetItem", get(false), "Kiel")
			}
		})
	}
}
