package session

import (
	"sync"

	"holdfast"
)

// A Connection is a session that is a client's connection. It is at one node and ends with it, so
// nothing else needs to know it. The zero Connection has seen nothing.
type Connection struct {
	mu    sync.Mutex // guards token
	token holdfast.Token
}

// Token returns what the connection has seen: the shards that it lacks must be read consistently.
func (c *Connection) Token() holdfast.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// Keep adds what an answer has seen, and forgets the shards of which that isn't known. It must return
// before the answer is sent.
func (c *Connection) Keep(seen holdfast.Token, forget []holdfast.ShardID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range forget {
		c.token.Forget(id)
	}
	c.token.Join(seen)
}
