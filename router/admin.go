package router

import (
	"holdfast/mc"
)

// adminPrefix is that of keys whose get asks the router itself, as in mcrouter.
var adminPrefix = []byte("__mcrouter__.")

// admin answers a get of an admin key.
func (t *tree) admin(l *lane, q *query) {
	text, ok := t.adminText(string(q.request.Key[len(adminPrefix):]))
	if !ok {
		q.fail(l, resultClientError, "unknown admin key")
		return
	}
	wire := mc.AppendValue(nil, q.request.Key, 0, len(text))
	wire = append(append(wire, text...), mc.CRLF...)
	q.taker.take(l, q, &answer{result: resultHit, wire: wire})
}

func (t *tree) adminText(name string) (string, bool) {
	return "", false
}
