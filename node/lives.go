package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"holdfast"
	"holdfast/cluster"
	"holdfast/pulse"
	"holdfast/rpc"
	"holdfast/shard"
)

// How often a node tells the others how far its store has got, and how often it writes down what it
// has heard of theirs.
const (
	tellEvery = time.Second
	saveEvery = 10 * time.Second
)

// lives have the nodes of a cluster find out that one of them was started with an older copy of its
// directory: see cluster.Life.
type lives struct {
	*cluster.Lives
	disk *shard.Store
	send func(told []byte) // to all other nodes
	log  *slog.Logger

	end     context.CancelFunc
	running sync.WaitGroup
}

// follow begins to tell the others how far the store has got.
func (l *lives) follow() {
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.running.Go(func() {
		tell, save := pulse.New(tellEvery), pulse.New(saveEvery)
		defer tell.Stop()
		defer save.Stop()
		for {
			select {
			case <-tell.C:
				tell.Again()
				l.tell()
			case <-save.C:
				save.Again()
				l.save()
			case <-ctx.Done():
				return
			}
		}
	})
}

// stop ends that.
func (l *lives) stop() {
	if l.end != nil {
		l.end()
		l.running.Wait()
		l.save()
	}
}

func (l *lives) tell() {
	if _, now := shard.Steps(l.disk); now > 0 {
		if told := l.Advance(now); told != nil {
			l.send(told)
		}
	}
}

func (l *lives) save() {
	if err := l.Save(); err != nil {
		l.log.Warn("what is known of the other nodes' starts can't be written", "err", err)
	}
}

// tellOthers sends what was told to all other nodes.
func (m *member) tellOthers(told []byte) {
	for _, id := range m.roster.members() {
		if id != m.is.Node {
			m.transport.Send(rpc.Message{To: id, Kind: kindProgress, Body: told})
		}
	}
}

// refusedBy ends the node, whose directory another node knows to be an older copy, or in whose place
// another node is.
func (m *member) refusedBy(_ holdfast.NodeID, why error) {
	m.refused.Do(func() {
		if errors.Is(why, holdfast.Gone) {
			err := m.lives.Replaced(why.Error())
			m.log.Error("this node is none of the cluster any more", "err", err)
			m.fail(err)
			return
		}
		err := m.lives.Refuse(why.Error())
		m.log.Error("this node's directory is an older copy", "err", err)
		m.fail(err)
	})
}
