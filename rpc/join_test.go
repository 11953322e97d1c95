package rpc

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"testing"

	"holdfast"
)

func someJoin() Join { return Join{Name: "test", Lost: 2, Self: testMember(4)} }

func someJoined() Joined {
	return Joined{
		Cluster: [16]byte{'c'}, Node: 4, IDs: []holdfast.NodeID{1, 3, 4},
		Members: []Member{testMember(1), testMember(3), testMember(4)},
	}
}

// What nodes say when one joins is read back as it was, and nothing else is read.
func TestJoinForms(t *testing.T) {
	j, a := someJoin(), someJoined()
	if got, err := ParseJoin(j.Bytes()); err != nil || got != j {
		t.Errorf("got %+v, %v; want %+v", got, err, j)
	}
	if got, err := ParseJoined(a.Bytes()); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v; want %+v", got, err, a)
	}
	for n := range j.Bytes() {
		if _, err := ParseJoin(j.Bytes()[:n]); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%d bytes of a request: got %v; want %v", n, err, holdfast.Invalid)
		}
	}
	for n := range a.Bytes() {
		if _, err := ParseJoined(a.Bytes()[:n]); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%d bytes of an answer: got %v; want %v", n, err, holdfast.Invalid)
		}
	}
	if _, err := ParseJoin(append(j.Bytes(), 0)); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a byte more: got %v; want %v", err, holdfast.Invalid)
	}
	for what, change := range map[string]func(*Joined){
		"an ID twice":            func(a *Joined) { a.IDs[1] = 1 },
		"IDs that don't rise":    func(a *Joined) { a.IDs[0], a.IDs[1] = 3, 1 },
		"without the node":       func(a *Joined) { a.Node = 5 },
		"no cluster":             func(a *Joined) { a.Cluster = [16]byte{} },
		"a node without address": func(a *Joined) { a.Members[1].Addr = "" },
	} {
		a := someJoined()
		change(&a)
		if _, err := ParseJoined(a.Bytes()); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want %v", what, err, holdfast.Invalid)
		}
	}
}

// A node asks until a node of the cluster takes it, whatever other answers it gets, or until it hears
// that none ever will.
func TestAsk(t *testing.T) {
	for _, test := range []struct {
		what    string
		answers []error // of the node that is asked, until it takes the other
		want    error
	}{
		{"at once", nil, nil},
		{"no leader, and an outcome that isn't known", []error{
			holdfast.Errorf(holdfast.NotLeader, "no"), holdfast.Errorf(holdfast.Unavailable, "who knows"),
			holdfast.Errorf(holdfast.Refused, "no connection"), errors.New("its own trouble"),
		}, nil},
		{"never", []error{
			holdfast.Errorf(holdfast.NotLeader, "no"), holdfast.Errorf(holdfast.Conflict, "node 2 runs"),
		}, holdfast.Refused},
	} {
		t.Run(test.what, func(t *testing.T) {
			asked := 0
			var mu sync.Mutex
			o := testOptions(1)
			o.Join = func(_ context.Context, j Join) (Joined, error) {
				mu.Lock()
				defer mu.Unlock()
				if j != someJoin() {
					t.Errorf("got %+v; want %+v", j, someJoin())
				}
				if asked++; asked <= len(test.answers) {
					return Joined{}, test.answers[asked-1]
				}
				return someJoined(), nil
			}
			seed := open(t, o, testLimits())
			waits := 0
			got, err := askWith(t.Context(), AskOptions{
				Join: someJoin(), Seeds: []string{someJoin().Self.Addr, seed.Addr().String()},
				Waits: func(string, error) { waits++ }, Log: slog.New(slog.DiscardHandler),
			}, testLimits())
			if test.want == nil && (err != nil || !reflect.DeepEqual(got, someJoined()) || waits != len(test.answers)) {
				t.Errorf("got %+v, %v after %d waits; want to be taken after %d", got, err, waits, len(test.answers))
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v; want %v", err, test.want)
			}
		})
	}
}

// A node that takes nobody says so, and an answer for another node is none.
func TestAskInVain(t *testing.T) {
	ask := func(o Options) error {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		_, err := askWith(ctx, AskOptions{
			Join: someJoin(), Seeds: []string{open(t, o, testLimits()).Addr().String()},
			Waits: func(string, error) { end() }, Log: slog.New(slog.DiscardHandler),
		}, testLimits())
		return err
	}
	without := testOptions(1)
	without.Formed = &Formed{Cluster: without.Cluster, Name: "test", Members: []Member{testMember(1)}}
	if err := ask(without); !errors.Is(err, holdfast.Refused) {
		t.Errorf("got %v of a cluster whose nodes can't be replaced; want %v", err, holdfast.Refused)
	}
	other := testOptions(1)
	other.Join = func(context.Context, Join) (Joined, error) {
		a := someJoined()
		a.Node = 3
		return a, nil
	}
	if err := ask(other); !errors.Is(err, holdfast.Canceled) {
		t.Errorf("got %v of an answer for another node; want that it goes on asking", err)
	}
	if _, err := Ask(t.Context(), AskOptions{Join: someJoin(), Log: slog.New(slog.DiscardHandler)}); !errors.Is(err,
		holdfast.Invalid) {
		t.Errorf("without seeds: got %v; want %v", err, holdfast.Invalid)
	}
}

// A node that is no peer any more hears why, from whichever node it dials, and isn't heard.
func TestNodesThatAreGone(t *testing.T) {
	heard := make(chan error, 16)
	one, two := testOptions(1), testOptions(2)
	one.Judge = func(holdfast.NodeID, []byte) error { return nil }
	one.Gone = func(id holdfast.NodeID) error {
		if id != 2 {
			return nil
		}
		return errors.New("node 4 has taken its place")
	}
	one.Receive = func(m Message) { t.Errorf("got a message of node %d; want none", m.From) }
	two.Life = func() []byte { return []byte("a life") }
	two.Refused = func(by holdfast.NodeID, err error) { heard <- err }
	a, b := open(t, one, testLimits()), open(t, two, testLimits())
	a.SetPeers(map[holdfast.NodeID]Peer{4: {}})
	b.SetPeers(map[holdfast.NodeID]Peer{1: {Addr: a.Addr().String()}})
	err := <-heard
	if !errors.Is(err, holdfast.Gone) || err.Error() != "node 4 has taken its place" {
		t.Errorf("got %v; want %v, and why", err, holdfast.Gone)
	}
	b.Send(Message{To: 1, Kind: 1})
	await(t, "the fault is counted", func() bool { return a.Counts().Faults[WrongSender] > 0 })
}
