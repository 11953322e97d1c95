package main

import (
	"io"
	"net"
	"testing"
	"time"
)

// A link drops what it should, in the direction that was set, and begins anew afterwards.
func TestLinkDropsOneDirection(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	l, err := newLink(0, 1, far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	pair := func() (near, accepted net.Conn) {
		near, err := net.Dial("tcp", l.address())
		if err != nil {
			t.Fatal(err)
		}
		if accepted, err = far.Accept(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []net.Conn{near, accepted} {
			c.SetDeadline(time.Now().Add(time.Minute))
		}
		return near, accepted
	}
	carries := func(from, to net.Conn, text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.WriteString(from, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
			t.Fatalf("got %q, %v; want %q", got, err, text)
		}
	}
	near, accepted := pair()
	carries(near, accepted, "forth")
	carries(accepted, near, "back")
	l.drop(true, false)
	if _, err := io.WriteString(near, "lost"); err != nil {
		t.Fatal(err)
	}
	carries(accepted, near, "still back")
	l.drop(false, false)
	if n, err := accepted.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("got %d bytes, %v; want the end, since some were dropped", n, err)
	}
	near, accepted = pair()
	carries(near, accepted, "anew")
}

// The time without an acknowledgement is the longest from the failure on, also if it hasn't ended,
// and only of puts at the nodes that didn't fail.
func TestGapOfAProbe(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	put := func(from, to float64, status int) attempt { return attempt{putting, at(from), at(to), status} }
	p := probe{began: began, length: 5 * time.Second}
	if got := p.gap(); got != 5*time.Second {
		t.Errorf("got %v without any; want all", got)
	}
	p.others = []attempt{put(-9, -1, 200), put(-0.1, 0.2, 200), put(0.2, 1, 500), put(0.1, 2, 200), put(2, 2.5, 200)}
	if got := p.gap(); got != 2500*time.Millisecond {
		t.Errorf("got %v; want 2.5 s, from the last one on", got)
	}
	p.others = append(p.others, put(2.5, 4.9, 200))
	if got := p.gap(); got != 2400*time.Millisecond {
		t.Errorf("got %v; want 2.4 s", got)
	}
	if got := p.longestAnswer(p.others, putting); got != 2400*time.Millisecond {
		t.Errorf("got %v; want 2.4 s", got)
	}
	p.alone = []attempt{put(0, 1.5, 500), put(-3, -1, 503), put(1, 1.2, 200)}
	if got, ok := p.refused(putting); !ok || got != 1500*time.Millisecond {
		t.Errorf("got %v, %v; want 1.5 s", got, ok)
	}
	if _, ok := p.refused(eventualRead); ok {
		t.Error("got a refused read; want none")
	}
}
