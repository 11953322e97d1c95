package upstream

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/loop"
	"holdfast/mc"
)

// A stub stream takes all that is written, and can be closed.
type stubStream struct{ loop.Stream }

func (stubStream) Grouped() bool { return true }
func (stubStream) Reset()        {}

// A recorder notes the answers to the requests of a link.
type recorder struct{ got []string }

func (t *recorder) Receive(a *Answer) { t.got = append(t.got, a.Result.String()+" "+string(a.Wire)) }

// owing returns a connection on which the upstream owes the answers to the requests. Its loop
// doesn't run, and the stream isn't written to.
func owing(t testing.TB, requests string, to Receiver) *conn {
	t.Helper()
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	lane := NewLane(l)
	set := NewSet([]*Lane{lane}, slog.New(slog.NewTextHandler(io.Discard, nil)), SystemClock{})
	u := set.Add(Identity{Address: "upstream"},
		Settings{Timeout: time.Hour, Links: 1, SoftErrors: 100, MaxInFlight: 1 << 20}, nil, nil)
	k := lane.link(u, 0)
	k.conn = &conn{link: k, stream: stubStream{}}
	ask(t, k, requests, to)
	return k.conn
}

// ask has the link send the requests.
func ask(t testing.TB, k *link, requests string, to Receiver) {
	t.Helper()
	b := mc.NewBatch(func(*mc.Batch) {})
	var d mc.Decoder
	if used, err := d.Decode([]byte(requests), b); err != nil || used != len(requests) {
		t.Fatalf("%q: %d bytes decoded; %v", requests, used, err)
	}
	for i := range b.Requests {
		k.enqueue(&b.Requests[i], to, false)
	}
	k.endLine()
	k.unsent, k.out = 0, k.out[:0]
}

type discard struct{}

func (discard) Receive(*Answer) {}

// BenchmarkRead is what reading one answer costs, without the socket.
func BenchmarkRead(b *testing.B) {
	value := strings.Repeat("v", 100)
	multiget := "get"
	values := ""
	for i := range 32 {
		key := " key" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		multiget += key
		values += "VALUE" + key + " 0 100\r\n" + value + "\r\n"
	}
	for _, test := range []struct {
		name, request, answer string
		answers               int
	}{
		{"get", "get key8\r\n", "VALUE key8 0 100\r\n" + value + "\r\nEND\r\n", 1},
		{"miss", "get key8\r\n", "END\r\n", 1},
		{"multiget32", multiget + "\r\n", values + "END\r\n", 32},
		{"set", "set key8 0 0 1\r\n1\r\n", "STORED\r\n", 1},
		{"mg", "mg key8 v t O7\r\n", "VA 100 t-1 O7\r\n" + value + "\r\n", 1},
		{"ms", "ms key8 1\r\n1\r\n", "HD\r\n", 1},
	} {
		b.Run(test.name, func(b *testing.B) {
			c := owing(b, test.request, discard{})
			k, answer := c.link, []byte(test.answer)
			owed := k.pending // as it is before the answers: its memory is used again
			b.ReportAllocs()
			for range b.N / test.answers {
				k.pending.first, k.pending.count = owed.first, owed.count
				if used := c.read(answer); used != len(answer) {
					b.Fatalf("%d bytes read; want %d", used, len(answer))
				}
			}
		})
	}
}

// answersOf returns the answers that the requests get when the upstream says the text in pieces,
// and whether the connection is still there after it.
func answersOf(t *testing.T, requests, text string, cuts ...int) (got []string, open bool) {
	t.Helper()
	r := &recorder{}
	c := owing(t, requests, r)
	shared := make([]byte, 64)
	for at := 0; at < len(text); {
		to := len(text)
		if len(cuts) > 0 {
			to, cuts = max(cuts[0], at), cuts[1:]
		}
		for at < to && c.link.conn == c {
			n := copy(c.Buffer(shared), text[at:to])
			c.Received(n)
			at += n
		}
		if c.link.conn != c {
			break
		}
	}
	return r.got, c.link.conn == c
}

// Answers are the same however the upstream's bytes are cut, and each goes to its request.
func TestAnswersInPieces(t *testing.T) {
	const requests = "get a b c\r\nset a 0 0 1\r\n1\r\ngets d\r\nmg a v k O7\r\nincr n 1\r\nms a 1\r\n1\r\n" +
		"delete a\r\nget e\r\nma n v\r\nme a\r\nflush_all\r\ntouch a 1\r\n"
	const text = "VALUE b 5 3\r\n\r\n1\r\nEND\r\nNOT_STORED\r\nVALUE d 0 0 77\r\n\r\nEND\r\nVA 2 ka O7\r\nEN\r\n" +
		"8  \r\nNS\r\nNOT_FOUND\r\nEND\r\nVA 1\r\n9\r\nME a exp=-1\r\nOK\r\nTOUCHED\r\n"
	want := []string{
		"miss ", "hit VALUE b 5 3\r\n\r\n1\r\n", "miss ", "not_stored NOT_STORED\r\n", "hit VALUE d 0 0 77\r\n\r\n",
		"hit VA 2 ka O7\r\nEN\r\n", "done 8  \r\n", "not_stored NS\r\n", "not_found NOT_FOUND\r\n", "miss ",
		"done VA 1\r\n9\r\n", "hit ME a exp=-1\r\n", "done OK\r\n", "done TOUCHED\r\n",
	}
	check := func(cuts ...int) {
		got, open := answersOf(t, requests, text, cuts...)
		if !open || !slices.Equal(got, want) {
			t.Fatalf("cut at %v: got %q, connection open: %v; want %q", cuts, got, open, want)
		}
	}
	check()
	for i := range len(text) {
		check(i)
		check(i/2, i)
	}
	every := make([]int, len(text))
	for i := range every {
		every[i] = i + 1
	}
	check(every...)
}

// An answer that can't be one to the request breaks the connection, and no request gets it. The
// router's TestGarbage has more of them, over sockets.
func TestAnswersThatCantBe(t *testing.T) {
	for _, test := range []struct{ request, text string }{
		{"mg a v\r\n", "VA  1\r\n1\r\n"},
		{"mg a v\r\n", "VA 1073741825\r\n"},
		{"mg a v\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"},
		{"md a\r\n", "VA 1\r\n1\r\n"},
		{"mg a v O1\r\n", "VA 1 O2\r\n1\r\n"},
		{"mg a v k\r\n", "VA 1 kb\r\n1\r\n"},
		{"ms a 1 O1\r\n1\r\n", "HD O2\r\n"},
		{"md a\r\n", "NS\r\n"},
		{"mg a v\r\n", "NF\r\n"},
		{"get a\r\n", "VALUE a 0 1 5\r\n1\r\nEND\r\n"},
		{"gets a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"},
		{"get a\r\n", "VALUE a 0 1073741825\r\n"},
		{"get a\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n"},
		{"get a\r\n", "VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
		{"get a\r\n", "VALUE a 0 1\r\n12\r\nEND\r\n"},
		{"get a\r\n", "ERROR Too many open connections\r\n"},
		{"set a 0 0 1\r\n1\r\n", "DELETED\r\n"},
		{"incr a 1\r\n", "STORED\r\n"},
		{"incr a 1\r\n", "99999999999999999999\r\n"},
		{"flush_all\r\n", "NOT_FOUND\r\n"},
		{"delete a\r\n", "DELETED\n"},
	} {
		got, open := answersOf(t, test.request, test.text)
		if open || len(got) != 1 || !strings.HasPrefix(got[0], "closed SERVER_ERROR upstream: garbled answer") {
			t.Errorf("%q answered %q: got %q, connection open: %v; want the connection broken", test.request, test.text, got,
				open)
		}
	}
}

// A get line that is refused is asked again, key by key, and each key alone gets its own answer.
func TestARefusedLineIsAskedKeyByKey(t *testing.T) {
	r := &recorder{}
	c := owing(t, "get a b\r\n", r)
	k := c.link
	if used := c.read([]byte("SERVER_ERROR busy\r\n")); used == 0 || len(r.got) != 0 {
		t.Fatalf("%d bytes read, answers %q; want none yet", used, r.got)
	}
	k.endLine()
	if got, want := string(k.out), "get a\r\nget b\r\n"; got != want {
		t.Fatalf("sent again: %q; want %q", got, want)
	}
	k.unsent = 0
	c.read([]byte("SERVER_ERROR busy\r\nVALUE b 0 1\r\n1\r\nEND\r\n"))
	if want := []string{"server_error SERVER_ERROR busy\r\n", "hit VALUE b 0 1\r\n1\r\n"}; !slices.Equal(r.got, want) {
		t.Errorf("got %q; want %q", r.got, want)
	}
}

// A write that was sent before the upstream went down may be undone by what it missed since: its
// answer doesn't count. A read's does.
func TestAnswersOfAnEarlierEpoch(t *testing.T) {
	r := &recorder{}
	c := owing(t, "get a\r\nset a 0 0 1\r\n1\r\n", r)
	c.link.to.epoch.Add(1)
	c.read([]byte("END\r\nSTORED\r\n"))
	if want := []string{"miss ", "closed SERVER_ERROR upstream went down\r\n"}; !slices.Equal(r.got, want) {
		t.Errorf("got %q; want %q", r.got, want)
	}
}

// The memory of a large request goes once it is written or has failed; that of a small one is kept.
func TestLargeBuffersAreReleased(t *testing.T) {
	for _, test := range []struct {
		name  string
		bytes int
		end   func(*link)
		kept  bool
	}{
		{"small, written", 1000, func(k *link) { k.wrote(len(k.out), nil) }, true},
		{"large, written", spareOutBytes + 1, func(k *link) { k.wrote(len(k.out), nil) }, false},
		{"large, failed", spareOutBytes + 1, func(k *link) { k.failAll(Closed, errClosed) }, false},
	} {
		k := owing(t, "get a\r\n", discard{}).link
		k.out = make([]byte, test.bytes)
		test.end(k)
		if kept := cap(k.out) > 0; kept != test.kept || len(k.out) > 0 {
			t.Errorf("%s: got %d bytes left, memory kept: %t; want %t", test.name, len(k.out), kept, test.kept)
		}
	}
}
