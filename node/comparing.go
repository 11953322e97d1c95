package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/rpc"
	"holdfast/shard"
	"holdfast/table"
)

// heardSince is how recently a node must have been heard for its checksum to be waited for.
const heardSince = 3 * time.Second

// Comparing is what a member has of comparisons: its comparer, which it is the comparables of, and the
// answers to the comparers of others. The bodies of its requests are JSON; see docs/formats.md.
type comparing struct {
	comparer
	member *member
	tables atomic.Pointer[table.Store] // nil: the node is starting
	ended  sync.Once                   // by an accusation
}

// A checksumForm is a request for a replica's checksum as of a transaction.
type checksumForm struct {
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

// A sumForm is the response.
type sumForm struct {
	Sum   string `json:"checksum"` // 32 hexadecimal digits
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"`
}

// An accusation says to a node that one of its replicas differs from those of a majority.
type accusation struct {
	Tx         holdfast.TxID     `json:"transaction"`
	Name       string            `json:"name"`       // of the shard
	Sum        string            `json:"checksum"`   // that the node has given
	Unreadable string            `json:"unreadable"` // why it has given none
	Agree      []holdfast.NodeID `json:"agree"`      // whose replicas are the same
}

// A compareForm asks the leading node for a round: one that begins, or the one of that number.
type compareForm struct {
	Round uint64 `json:"round"` // 0: begin one, unless one is under way
}

func (x *comparing) init(m *member, every time.Duration) {
	x.member = m
	x.comparer.init(m.is.Node, every, x, m.log)
}

// follow begins to take part.
func (x *comparing) follow(store *table.Store) {
	x.tables.Store(store)
	x.comparer.follow()
}

// led implements comparables.
func (x *comparing) led() (ids []holdfast.ShardID) {
	for _, r := range x.member.replicas.list() {
		if is, _ := r.Members(); r.Leader() == x.self && len(is.Voters)+len(is.Learners) > 1 {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// name implements comparables.
func (x *comparing) name(id holdfast.ShardID) string {
	if store := x.tables.Load(); store != nil {
		return table.WhereShard(store, id)
	}
	return fmt.Sprintf("shard %d", id)
}

// members implements comparables.
func (x *comparing) members(id holdfast.ShardID) (voters, learners []holdfast.NodeID) {
	r := x.member.replicas.of(id)
	if r == nil {
		return nil, nil
	}
	is, _ := r.Members()
	return is.Voters, is.Learners
}

// up implements comparables.
func (x *comparing) up(id holdfast.NodeID) bool {
	return id == x.self || time.Since(x.member.transport.Heard(id)) < heardSince
}

// propose implements comparables.
func (x *comparing) propose(ctx context.Context, id holdfast.ShardID) (holdfast.TxID, error) {
	sh, err := x.shard(id)
	if err != nil {
		return holdfast.TxID{}, err
	}
	return shard.ProposeChecksum(ctx, sh)
}

func (x *comparing) shard(id holdfast.ShardID) (*shard.Shard, error) {
	if sh := x.member.replicas.shard(id); sh != nil {
		return sh, nil
	}
	return nil, holdfast.Errorf(holdfast.NotFound, "node %d has no replica of shard %d", x.self, id)
}

// checksum implements comparables.
func (x *comparing) checksum(ctx context.Context, node holdfast.NodeID, tx holdfast.TxID) (sum sumForm, err error) {
	if node == x.self {
		return x.own(ctx, tx)
	}
	err = x.call(ctx, rpc.Message{To: node, Kind: kindChecksum, Shard: tx.Shard}, checksumForm{tx.Term, tx.Index}, &sum)
	return sum, err
}

// own returns the checksum of a replica of this node.
func (x *comparing) own(ctx context.Context, tx holdfast.TxID) (sumForm, error) {
	sh, err := x.shard(tx.Shard)
	if err != nil {
		return sumForm{}, err
	}
	c, err := shard.ChecksumAt(ctx, sh, tx)
	return sumForm{Sum: hex.EncodeToString(c.Sum[:]), Keys: c.Keys, Bytes: c.Bytes}, err
}

// call sends a request whose body is JSON, as is that of its response.
func (x *comparing) call(ctx context.Context, m rpc.Message, request, response any) (err error) {
	if m.Body, err = json.Marshal(request); err != nil {
		return err
	}
	body, err := x.member.transport.Call(ctx, m)
	if err == nil && response != nil {
		err = decodeBody(body, response)
	}
	return err
}

func decodeBody(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return holdfast.Errorf(holdfast.Invalid, "what a node says of checksums can't be decoded: %v", err)
	}
	return nil
}

// answer answers another node's request.
func (x *comparing) answer(ctx context.Context, r rpc.Message) ([]byte, error) {
	switch r.Kind {
	case kindChecksum:
		var of checksumForm
		if err := decodeBody(r.Body, &of); err != nil {
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok { // so that the answer arrives before the other asks again
			var end context.CancelFunc
			ctx, end = context.WithTimeout(ctx, time.Until(deadline)/2)
			defer end()
		}
		sum, err := x.own(ctx, holdfast.TxID{Shard: r.Shard, Term: of.Term, Index: of.Index})
		if err != nil {
			return nil, err
		}
		return json.Marshal(sum)
	case kindAccuse:
		var a accusation
		if err := decodeBody(r.Body, &a); err != nil {
			return nil, err
		}
		return nil, x.accused(ctx, a)
	}
	var of compareForm
	if err := decodeBody(r.Body, &of); err != nil {
		return nil, err
	}
	is, err := x.askHere(of)
	if err != nil {
		return nil, err
	}
	return json.Marshal(is)
}

// accuse implements comparables.
func (x *comparing) accuse(ctx context.Context, node holdfast.NodeID, a accusation) error {
	if node == x.self {
		return x.accused(ctx, a)
	}
	return x.call(ctx, rpc.Message{To: node, Kind: kindAccuse, Shard: a.Tx.Shard}, a, nil)
}

// accused ends this node if what it is accused of is so: it has what it is said to have, and a
// majority of the voters is said to have something else.
func (x *comparing) accused(ctx context.Context, a accusation) error {
	sum, err := x.own(ctx, a.Tx)
	unreadable := errors.Is(err, holdfast.Corrupt)
	voters, _ := x.members(a.Tx.Shard)
	agree := 0
	for _, id := range voters {
		if id != x.self && slices.Contains(a.Agree, id) {
			agree++
		}
	}
	switch {
	case unreadable != (a.Unreadable != ""), !unreadable && (err != nil || sum.Sum != a.Sum):
		return holdfast.Errorf(holdfast.Invalid, "the replica of shard %d at node %d doesn't have that checksum as of "+
			"%v: it has %s, %v", a.Tx.Shard, x.self, a.Tx, sum.Sum, err)
	case 2*agree <= len(voters):
		return holdfast.Errorf(holdfast.Invalid, "nodes %v are no majority of %v", a.Agree, voters)
	}
	x.ended.Do(func() {
		err := x.member.lives.Differ(a.says())
		x.log.Error("this node doesn't have what the other nodes have", "shard", uint64(a.Tx.Shard), "tx",
			a.Tx.String(), "err", err)
		x.member.fail(err)
	})
	return nil
}

// says describes the fault.
func (a *accusation) says() string {
	if a.Unreadable != "" {
		return fmt.Sprintf("%s as of transaction %v can't be read here (%s), and is the same at nodes %s", a.Name, a.Tx,
			a.Unreadable, listed(a.Agree))
	}
	return fmt.Sprintf("%s as of transaction %v is another one here than at nodes %s, where it is the same", a.Name,
		a.Tx, listed(a.Agree))
}

// listed returns IDs as in "1, 2 and 4".
func listed(ids []holdfast.NodeID) string {
	text := ""
	for i, id := range ids {
		switch {
		case i == 0:
		case i == len(ids)-1:
			text += " and "
		default:
			text += ", "
		}
		text += fmt.Sprint(id)
	}
	return text
}

// ask has the node that leads begin a round, or say how far that one is.
func (x *comparing) ask(ctx context.Context, of compareForm) (*Round, error) {
	leader := x.member.forwarder.leader()
	switch leader {
	case 0:
		return nil, holdfast.Errorf(holdfast.NotLeader, "node %d knows no node that leads", x.self)
	case x.self:
		return x.askHere(of)
	}
	is := &Round{}
	if err := x.call(ctx, rpc.Message{To: leader, Kind: kindCompare}, of, is); err != nil {
		return nil, err
	}
	return is, nil
}

// askHere is ask at the node that leads.
func (x *comparing) askHere(of compareForm) (*Round, error) {
	if leads := x.member.forwarder.leads; leads == nil || !leads() {
		return nil, holdfast.Errorf(holdfast.NotLeader, "node %d doesn't lead the tables", x.self)
	}
	if of.Round == 0 {
		return x.begin()
	}
	return x.standing(of.Round)
}
