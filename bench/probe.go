package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A probe is clients that send requests before, while and after a node fails, and what they got.
type probe struct {
	lanes  int           // of each kind, at each node
	length time.Duration // after the failure

	began time.Time // of the failure

	mu     sync.Mutex // guards all
	others []attempt  // at the other nodes: puts
	alone  []attempt  // at the node that fails: puts, consistent and eventual reads
}

// An attempt is a request with its response.
type attempt struct {
	kind       requestKind
	begin, end time.Time
	status     int // 0: there is no response
}

const (
	probeBefore = 300 * time.Millisecond // for which clients send requests before the failure
	probePause  = 10 * time.Millisecond  // after a response that is an error
)

// run has clients send requests, makes a node fail by begin, and has the clients go on for a while.
// alone says that clients ask that node, too.
func (p *probe) run(ctx context.Context, c *failCluster, node int, alone bool, begin func() error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for at, address := range c.addresses {
		kinds, to := []requestKind{putting}, &p.others
		if at == node {
			if kinds, to = nil, &p.alone; alone {
				kinds = []requestKind{putting, consistentRead, eventualRead}
			}
		}
		for _, kind := range kinds {
			for lane := range p.lanes {
				running.Go(func() { p.ask(ctx, c, address, kind, at*p.lanes+lane, to) })
			}
		}
	}
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	wait(probeBefore)
	p.began = time.Now()
	err := begin()
	if err == nil {
		wait(p.length)
	}
	stop()
	running.Wait()
	return err
}

// ask sends requests to a node, one after another.
func (p *probe) ask(ctx context.Context, c *failCluster, address string, kind requestKind, lane int, to *[]attempt) {
	var k kvClient
	for n := 0; ctx.Err() == nil; n++ {
		a := attempt{kind: kind, begin: time.Now()}
		var err error
		if k == nil {
			var dialled kvClient
			if dialled, err = c.dial(address); err == nil {
				k = dialled
			}
		}
		if err == nil {
			a.status, err = p.once(ctx, k, kind, lane%failItems, n)
		}
		a.end = time.Now()
		p.note(to, a) // also if it was ended: so long has it waited
		if err == nil {
			continue
		}
		if a.status == 0 && k != nil {
			k.close()
			k = nil
		}
		time.Sleep(probePause)
	}
	if k != nil {
		k.close()
	}
}

func (p *probe) note(to *[]attempt, a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*to = append(*to, a)
}

// once sends a request, whose connection is closed when ctx ends.
func (p *probe) once(ctx context.Context, k kvClient, kind requestKind, item, n int) (status int, err error) {
	defer context.AfterFunc(ctx, func() { k.close() })()
	if kind == putting {
		err = k.put(item, n)
	} else {
		err = k.get(item, kind)
	}
	var failed *dynamoError
	switch {
	case err == nil:
		return 200, nil
	case errors.As(err, &failed):
		return failed.status, err
	}
	return 0, err
}

// gap returns the longest time in which no put was acknowledged of those that were sent to other
// nodes than the failed one, from the failure on.
func (p *probe) gap() time.Duration {
	acks := []time.Time{p.began, p.began.Add(p.length)}
	for _, a := range p.others {
		if a.status == 200 && a.end.After(p.began) {
			acks = append(acks, a.end)
		}
	}
	slices.SortFunc(acks, time.Time.Compare)
	longest := time.Duration(0)
	for i := range acks[1:] {
		longest = max(longest, acks[i+1].Sub(acks[i]))
	}
	return longest
}

// longestAnswer is how long a client waited for an answer at most, of those of a kind that came
// after the failure.
func (p *probe) longestAnswer(all []attempt, kind requestKind) (longest time.Duration) {
	for _, a := range all {
		if a.kind == kind && a.end.After(p.began) {
			longest = max(longest, a.end.Sub(a.begin))
		}
	}
	return longest
}

// refused returns how long after the failure the failed node has refused a request of a kind first;
// !ok: it hasn't.
func (p *probe) refused(kind requestKind) (first time.Duration, ok bool) {
	for _, a := range p.alone {
		if after := a.end.Sub(p.began); a.kind == kind && a.status != 200 && after > 0 && (!ok || after < first) {
			first, ok = after, true
		}
	}
	return first, ok
}

// count returns how many attempts of a kind ended with a status after the failure.
func (p *probe) count(all []attempt, kind requestKind, status int) (n int) {
	for _, a := range all {
		if a.kind == kind && a.status == status && a.end.After(p.began) {
			n++
		}
	}
	return n
}

// A failResult is what all rounds of a failure have shown: in milliseconds, one figure for each.
type failResult struct {
	name                 string
	gaps, answers        []float64
	unknown, unavailable int // answers of puts at the other nodes: 500, 503
	alone                map[requestKind]*aloneResult
}

// An aloneResult is what all rounds have shown of one kind of requests at the failed node.
type aloneResult struct {
	refused, answers           []float64
	done, unknown, unavailable int
}

func inMillis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// add adds a round.
func (r *failResult) add(p *probe) {
	r.gaps = append(r.gaps, inMillis(p.gap()))
	r.answers = append(r.answers, inMillis(p.longestAnswer(p.others, putting)))
	r.unknown += p.count(p.others, putting, 500)
	r.unavailable += p.count(p.others, putting, 503)
	if len(p.alone) == 0 {
		return
	}
	if r.alone == nil {
		r.alone = map[requestKind]*aloneResult{putting: {}, consistentRead: {}, eventualRead: {}}
	}
	for kind, x := range r.alone {
		if after, ok := p.refused(kind); ok {
			x.refused = append(x.refused, inMillis(after))
		}
		x.answers = append(x.answers, inMillis(p.longestAnswer(p.alone, kind)))
		x.done += p.count(p.alone, kind, 200)
		x.unknown += p.count(p.alone, kind, 500)
		x.unavailable += p.count(p.alone, kind, 503)
	}
}

// printFailover prints the figures of all failures.
func printFailover(results []failResult) {
	spread := func(values []float64) string {
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f, %.0f", middle(values), slices.Max(values))
	}
	fmt.Println("Times are in ms, the median of the rounds and the longest; answers are those of all rounds.")
	rows := [][]string{{"the node that leads", "no put acknowledged for", "longest answer", "500", "503"}}
	alone := [][]string{{"asked itself", "request", "refuses after", "longest answer", "done", "500", "503"}}
	for _, r := range results {
		rows = append(rows, []string{r.name, spread(r.gaps), spread(r.answers), fmt.Sprint(r.unknown),
			fmt.Sprint(r.unavailable)})
		for _, kind := range []requestKind{putting, consistentRead, eventualRead} {
			if x := r.alone[kind]; x != nil {
				alone = append(alone, []string{r.name, kind.String(), spread(x.refused), spread(x.answers),
					fmt.Sprint(x.done), fmt.Sprint(x.unknown), fmt.Sprint(x.unavailable)})
			}
		}
	}
	table(rows)
	if len(alone) > 1 {
		fmt.Println()
		table(alone)
	}
}
