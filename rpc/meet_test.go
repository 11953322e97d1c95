package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast"
)

// freeAddrs returns addresses that nothing listens on, sorted.
func freeAddrs(t testing.TB, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	slices.Sort(addrs)
	return addrs
}

// meetOptions are those of nodes that know the first of them.
func meetOptions(t testing.TB, n int) (all []MeetOptions) {
	addrs := freeAddrs(t, n)
	for i, addr := range addrs {
		all = append(all, MeetOptions{
			Name: "test", Expect: n, Self: Member{Addr: addr, Incarnation: Incarnation{'n', byte(i)}}, Listen: addr,
			Seeds: addrs[:1], Prepare: func(Formed) error { return nil }, Log: slog.New(slog.DiscardHandler),
		})
	}
	return all
}

// formAndServe meets others, and then answers those that aren't as far as a node of the cluster does.
func formAndServe(t testing.TB, o MeetOptions) (Formed, error) {
	f, err := meetWith(t.Context(), o, testLimits())
	if err == nil {
		serveFormed(t, &o, &f)
	}
	return f, err
}

func serveFormed(t testing.TB, o *MeetOptions, f *Formed) *Transport {
	with := testOptions(f.ID(o.Self.Incarnation))
	with.Cluster, with.Listen, with.TLS, with.Formed = f.Cluster, o.Listen, o.TLS, f
	return open(t, with, testLimits())
}

// formAll has all nodes meet, and returns what each has formed.
func formAll(t testing.TB, all []MeetOptions) []Formed {
	t.Helper()
	results := make([]Formed, len(all))
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() {
			var err error
			if results[i], err = formAndServe(t, all[i]); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	running.Wait()
	return results
}

func wantSame(t testing.TB, all []MeetOptions, results []Formed) {
	t.Helper()
	for i := range results {
		if !results[i].Equal(&results[0]) {
			t.Errorf("node %d has formed %v; the first %v", i, results[i], results[0])
		}
		if got := results[i].ID(all[i].Self.Incarnation); got != holdfast.NodeID(i+1) {
			t.Errorf("the node with the address %d has the ID %d", i+1, got)
		}
	}
}

func TestMeet(t *testing.T) {
	noLeaks(t)
	for _, n := range []int{1, 2, 3, 5} {
		all := meetOptions(t, n)
		wantSame(t, all, formAll(t, all))
	}
}

func TestMeetOverTLS(t *testing.T) {
	c := newCA(t)
	all := meetOptions(t, 3)
	for i := range all {
		all[i].TLS = c.with(c.sign(t, "node", nil))
	}
	wantSame(t, all, formAll(t, all))
}

// Nodes that are killed as soon as they are prepared, or formed, find to the same cluster when they
// start again.
func TestMeetAfterKills(t *testing.T) {
	noLeaks(t)
	all := meetOptions(t, 3)
	results := make([]Formed, len(all))
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() {
			o := all[i]
			ctx, kill := context.WithCancel(t.Context())
			var on Formed
			o.Prepare = func(f Formed) error {
				on = f
				if i == 1 {
					kill()
				}
				return nil
			}
			f, err := meetWith(ctx, o, testLimits())
			kill()
			if errors.Is(err, holdfast.Canceled) && i == 1 || i == 2 && err == nil {
				again := all[i] // node 2 had formed the cluster, and hadn't written that
				again.Prepared = &on
				f, err = meetWith(t.Context(), again, testLimits())
			}
			if err != nil {
				t.Errorf("node %d: %v", i, err)
				return
			}
			results[i] = f
			serveFormed(t, &o, &f)
		})
	}
	running.Wait()
	wantSame(t, all, results)
}

// A node that doesn't fit is refused, whether the cluster is being formed or was, and nobody is
// harmed once it was.
func TestMeetRefuses(t *testing.T) {
	all := meetOptions(t, 3)
	results := formAll(t, all)
	for name, c := range map[string]struct {
		change func(o *MeetOptions)
		says   string
	}{
		"another name":    {func(o *MeetOptions) { o.Name = "other" }, `"other"`},
		"another number":  {func(o *MeetOptions) { o.Expect = 4 }, "isn't one of them"},
		"a stranger":      {func(o *MeetOptions) {}, "isn't one of them"},
		"an emptied disk": {func(o *MeetOptions) { o.Self.Addr = all[1].Self.Addr }, "emptied"},
		"a copied disk":   {func(o *MeetOptions) { o.Self.Incarnation = all[1].Self.Incarnation }, "isn't one of them"},
	} {
		o := meetOptions(t, 1)[0]
		o.Seeds, o.Expect, o.Self.Incarnation = all[0].Seeds, 3, Incarnation{'x'}
		c.change(&o)
		_, err := meetWith(t.Context(), o, testLimits())
		if !errors.Is(err, holdfast.Refused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v; want it refused, with %s", name, err, c.says)
		}
	}
	wantSame(t, all, results)
}

// A node that the cluster has been formed without hears of that, whatever number of nodes it expects,
// or why it is refused.
func TestMeetOfAStranger(t *testing.T) {
	all := meetOptions(t, 1)
	all[0].Expect = 1
	f, err := meetWith(t.Context(), all[0], testLimits())
	if err != nil {
		t.Fatal(err)
	}
	kind := holdfast.Exists
	tr, err := listenWith(Options{
		Node: 1, Cluster: f.Cluster, Listen: all[0].Self.Addr, Receive: func(Message) {}, Log: all[0].Log, Formed: &f,
		Stranger: func(name string, self Member) error {
			return holdfast.Errorf(kind, "%s was formed without %s", name, self.Addr)
		},
	}, testLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	tr.SetPeers(nil)
	for _, kind = range []holdfast.Kind{holdfast.Exists, holdfast.Refused} {
		o := meetOptions(t, 1)[0]
		o.Seeds, o.Expect, o.Self.Incarnation = []string{all[0].Self.Addr}, 3, Incarnation{'x'}
		o.Prepare = func(Formed) error {
			t.Error("the node is prepared")
			return nil
		}
		_, err := meetWith(t.Context(), o, testLimits())
		want := "test was formed without " + o.Self.Addr
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %v, with %q", err, kind, want)
		}
	}
}

// Two nodes with different plans refuse each other, and neither forms anything. None of them can
// tell which of them doesn't fit, so both wait, and say so.
func TestMeetOfUnequals(t *testing.T) {
	all := meetOptions(t, 2)
	all[0].Seeds = []string{all[1].Self.Addr}
	all[1].Name = "other"
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var running, differ sync.WaitGroup
	differ.Add(len(all))
	failed := make([]error, len(all))
	for i := range all {
		all[i].Prepare = func(Formed) error {
			t.Errorf("node %d is prepared", i)
			return nil
		}
		var once sync.Once
		all[i].Progress = func(p Progress) {
			if other := all[1-i].Self.Addr; len(p.Unfit) == 1 && p.Unfit[0].Addr == other &&
				strings.Contains(p.Unfit[0].Why.Error(), `"other"`) {
				once.Do(differ.Done)
			}
		}
		running.Go(func() { _, failed[i] = meetWith(ctx, all[i], testLimits()) })
	}
	differ.Wait()
	end()
	running.Wait()
	for i, err := range failed {
		if !errors.Is(err, holdfast.Canceled) || !strings.Contains(err.Error(), all[i].Self.Addr) {
			t.Errorf("node %d: got %v; want that it ends with who it knows", i, err)
		}
	}
}

// A node that doesn't fit is turned away, and ends. The others go on, whoever has met it first.
func TestMisfitIsTurnedAway(t *testing.T) {
	noLeaks(t)
	for name, change := range map[string]func(o *MeetOptions){
		"another name":   func(o *MeetOptions) { o.Name = "other" },
		"another number": func(o *MeetOptions) { o.Expect = 5 },
	} {
		all := meetOptions(t, 4)
		for i := range all {
			all[i].Expect = 3
			all[i].Seeds = []string{all[0].Self.Addr, all[1].Self.Addr, all[2].Self.Addr, all[3].Self.Addr}
		}
		misfit := all[0] // by its address it would be the first member
		change(&misfit)
		var running sync.WaitGroup
		met := make(chan struct{})
		all[1].Progress = func(p Progress) {
			if len(p.Unfit) == 1 {
				select {
				case <-met:
				default:
					close(met)
				}
			}
		}
		results := make([]Formed, 3)
		meets := func(i int) {
			running.Go(func() {
				var err error
				if results[i-1], err = formAndServe(t, all[i]); err != nil {
					t.Errorf("%s: node %d: %v", name, i, err)
				}
			})
		}
		running.Go(func() {
			if _, err := meetWith(t.Context(), misfit, testLimits()); !errors.Is(err, holdfast.Refused) {
				t.Errorf("%s: got %v; want that the node is refused", name, err)
			}
		})
		meets(1)
		<-met // nobody else is there yet
		meets(2)
		meets(3)
		running.Wait()
		if ids := results[0].Members; len(ids) != 3 || ids[0] != all[1].Self || !results[1].Equal(&results[0]) {
			t.Errorf("%s: got %v; want a cluster of the three others", name, results)
		}
	}
}

func TestMeetOptions(t *testing.T) {
	for name, change := range map[string]func(o *MeetOptions){
		"no name":           func(o *MeetOptions) { o.Name = "" },
		"a long name":       func(o *MeetOptions) { o.Name = strings.Repeat("x", maxNameBytes+1) },
		"no nodes":          func(o *MeetOptions) { o.Expect = 0 },
		"too many nodes":    func(o *MeetOptions) { o.Expect = maxMembers + 1 },
		"no port":           func(o *MeetOptions) { o.Self.Addr = "127.0.0.1" },
		"port 0":            func(o *MeetOptions) { o.Self.Addr = "127.0.0.1:0" },
		"no incarnation":    func(o *MeetOptions) { o.Self.Incarnation = Incarnation{} },
		"no Prepare":        func(o *MeetOptions) { o.Prepare = nil },
		"no TLS elsewhere":  func(o *MeetOptions) { o.Listen = "0.0.0.0:0" },
		"another's promise": func(o *MeetOptions) { o.Prepared = &Formed{Name: "test", Members: make([]Member, 2)} },
	} {
		o := meetOptions(t, 2)[0]
		change(&o)
		_, err := Meet(t.Context(), o)
		if !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want Invalid", name, err)
		}
	}
}

// What is garbled is dropped and counted, and the others meet all the same.
func TestGarbledMeetings(t *testing.T) {
	noLeaks(t)
	all := meetOptions(t, 2)
	f := formAll(t, all)
	o := testOptions(1)
	o.Cluster, o.Formed = f[0].Cluster, &f[0]
	tr := open(t, o, testLimits())
	asks := view{name: "test", expect: 2, self: all[1].Self, members: []Member{all[1].Self}}
	sound := frame{typ: frameMeet, body: asks.bytes()}
	for name, c := range map[string]struct {
		change func(f *frame)
		want   Fault
	}{
		"a view cut short":     {func(f *frame) { f.body = f.body[:20] }, Garbled},
		"a view with a tail":   {func(f *frame) { f.body = append(slices.Clone(f.body), 0) }, Garbled},
		"a frame out of place": {func(f *frame) { f.typ = frameRequest; f.id = 1 }, Unexpected},
		"a frame for a shard":  {func(f *frame) { f.shard = 1 }, Unexpected},
		"a long frame":         {func(f *frame) { f.body = make([]byte, maxViewBytes+1) }, WrongLength},
		"of a cluster":         {func(f *frame) { f.way.cluster[0] = 1 }, WrongCluster},
	} {
		changed := sound
		c.change(&changed)
		before := tr.count(c.want)
		nc, err := net.Dial("tcp", tr.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := greetAs(nc, helloMeeting, way{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = writeFrame(nc, &changed) // it may be closed meanwhile
		await(t, name, func() bool { return tr.count(c.want) == before+1 })
		nc.Close()
	}
	nc, err := net.Dial("tcp", tr.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(greetAs(nc, helloMeeting, way{}), writeFrame(nc, &sound)); err != nil {
		t.Fatal(err)
	}
	answer, err := newMeetingReader(nc, true).next()
	if err != nil || answer.typ != frameMet {
		t.Fatalf("a sound view: got %v, %v; want an answer", answer.typ, err)
	}
	if v, err := parseView(answer.body); err != nil || v.phase != formed || !slices.Equal(v.members, f[0].Members) {
		t.Errorf("the answer is %+v, %v; want what was formed", v, err)
	}
}

// A node that can't answer meetings refuses them in its hello.
func TestMeetingWithANodeThatForgot(t *testing.T) {
	tr := open(t, testOptions(1), testLimits())
	nc, err := net.Dial("tcp", tr.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var f *fault
	if err := greetAs(nc, helloMeeting, way{}); !errors.As(err, &f) || f.Fault != WrongReceiver {
		t.Errorf("got %v; want %v", err, WrongReceiver)
	}
}
