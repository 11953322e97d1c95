package topology

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

const (
	routerConns = 4  // several, to detect a router that chooses the member by connection, not by key
	probeKeys   = 20 // keys whose reads and deletes are examined
	probeRounds = 10 // reads of each
	sampleKeys  = 20 // keys that are looked for repeatedly
	maxSettles  = 5  // times Options.Settle, for all late copies, and for all late deletes

	firstWait  = 20 * time.Millisecond // between the first two looks; doubles each time
	spareTTL   = time.Minute           // beyond the longest run, so that nothing expires during it
	cleanBreak = 6                     // times Options.Timeout, for the deletes at the end
)

// run is one run of Run.
type run struct {
	o          *Options
	report     *Report
	id         string
	ttl        time.Duration
	routers    []*server
	members    []*member
	queried    set  // members without a fault
	first      *key // is set on each member directly
	keys       []*key
	probes     []*key
	operations atomic.Int64
}

// A member is one of Options.Members.
type member struct {
	server *server
	stores bool   // it has accepted a set
	fault  string // why it doesn't count; "" if it does
}

// A key is one that the run writes.
type key struct {
	name   []byte
	prefix string
	value  []byte // as set through the router

	acknowledged bool
	on           set // members that held it before the run set anything on them directly
	altered      bool
	may          set // members that may hold it, where it is deleted at the end

	answered []int // of a probe: reads by member
	deleted  bool  // of a probe: through the router
	lost     set   // of a probe: members that had it and then didn't
}

// Run examines a cluster. An error is one of o, before anything is sent, or that of ctx, which
// ended the run: the report then holds what was found until then. Run deletes what it wrote in any
// case.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.complete(); err != nil {
		return Report{}, err
	}
	start := time.Now()
	r := newRun(&o)
	limit := o.longest()
	bounded, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	err := r.look(bounded)
	r.clean(context.WithoutCancel(ctx))
	r.conclude()
	if err != nil {
		err = fmt.Errorf("stopped before the end: %w", err)
		r.report.Verdict, r.report.Summary = Unclear, err.Error()
	}
	r.report.Operations = r.operations.Load()
	r.report.Elapsed = time.Since(start).Seconds()
	return *r.report, err
}

func newRun(o *Options) *run {
	r := &run{o: o, id: "hf-topology-" + random(4)}
	r.ttl = o.longest() + spareTTL
	r.report = &Report{Router: o.Router, Run: r.id, TTLSeconds: int64(r.ttl.Seconds()), Keys: o.Keys}
	for range routerConns {
		r.routers = append(r.routers, &server{address: o.Router, timeout: o.Timeout, operations: &r.operations})
	}
	for i, address := range o.Members {
		s := &server{address: address, timeout: o.Timeout, operations: &r.operations}
		r.members = append(r.members, &member{server: s})
		r.queried.add(i)
	}
	r.report.Members = make([]Member, len(o.Members))
	r.first = r.newKey("")
	for i := range o.Keys {
		r.keys = append(r.keys, r.newKey(o.Prefixes[i%len(o.Prefixes)]))
	}
	return r
}

// newKey returns a key with a random end, since some hashes spread consecutive numbers badly.
func (r *run) newKey(prefix string) *key {
	return &key{
		name:     []byte(prefix + r.id + "-" + random(6)),
		prefix:   prefix,
		value:    []byte("written through the router " + random(8)),
		answered: make([]int, len(r.members)),
	}
}

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails: it ends the program instead
	return hex.EncodeToString(b)
}

// look takes the steps of the run, which record what they find in r.
func (r *run) look(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.checkMembers, r.write, r.place, r.readBack, r.probe, r.remove} {
		err := step(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, errNothing) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errNothing ends the steps early because there is nothing more to find.
var errNothing = errors.New("nothing to look at")

// eachMember calls f for all members that count, concurrently.
func (r *run) eachMember(f func(i int, m *member)) {
	var wait sync.WaitGroup
	for i, m := range r.members {
		if m.fault == "" {
			wait.Go(func() { f(i, m) })
		}
	}
	wait.Wait()
	for i, m := range r.members {
		if m.fault != "" {
			r.queried.remove(i)
		}
	}
}

// allowBreaks lets each of the router's connections break once more, and clears their errors.
func (r *run) allowBreaks() {
	for _, c := range r.routers {
		c.breaks, c.err = 1, nil
	}
}

// throughRouter sends a request for each key over the connection that dealt returns for its index,
// and calls answered with each answer.
func (r *run) throughRouter(ctx context.Context, keys []*key, dealt func(i int) int, request func(*key) mc.Request,
	answered func(*key, *answer)) {
	for n, c := range r.routers {
		var of []*key
		var requests []mc.Request
		for i, k := range keys {
			if dealt(i)%len(r.routers) == n {
				of = append(of, k)
				requests = append(requests, request(k))
			}
		}
		answers := c.ask(ctx, requests)
		for i, k := range of {
			answered(k, &answers[i])
		}
	}
}

func get(k *key) mc.Request { return mc.Request{Op: mc.Get, Key: k.name, Last: true} }

func remove(k *key) mc.Request { return mc.Request{Op: mc.Delete, Key: k.name} }

func (r *run) set(k *key, value []byte) mc.Request {
	return mc.Request{Op: mc.Set, Key: k.name, Value: value, Exptime: int64(r.ttl.Seconds())}
}
