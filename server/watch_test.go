package server

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

func (c *client) wantLine(pattern string) {
	c.t.Helper()
	if line := c.line(); !regexp.MustCompile("^" + pattern + "\n$").MatchString(line) {
		c.t.Fatalf("got %q; want %s", line, pattern)
	}
}

func TestWatch(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		c, w := dial(), dial()
		w.ask("watch fetchers mutations\n", mc.OK)
		c.ask("get foo\r\nset f%o 0 0 4 noreply\r\nabcd\r\nget f%o\r\n", mc.End+get("f%o", "abcd"))
		const head = `ts=\d+\.\d+ gid=\d+ `
		w.wantLine(head + `type=item_get key=foo status=not_found clsid=1 cfd=\d+ size=0`)
		w.wantLine(head + `type=item_store key=f%25o status=stored cmd=set ttl=0 clsid=1 cfd=\d+ size=4`)
		w.wantLine(head + `type=item_get key=f%25o status=found clsid=1 cfd=\d+ size=4`)
		w.send("get foo\r\n") // a watcher is asked no more
		s.Watch().Evicted([]byte("gone"), true, -1, 3*time.Second, 2, 5)
		s.Watch().Stored([]byte("k"), "stored", "cas", time.Minute, 1, 9, 5)
		w.wantLine(head + `type=item_store key=k status=stored cmd=cas ttl=60 clsid=1 cfd=9 size=5`)
		if got := c.stats("")["log_watchers"]; got != "1" {
			t.Errorf("log_watchers %s; want 1", got)
		}
		w.Close()
		until(t, "nobody watches", func() bool { return !s.Watch().Wants(^WatchKinds(0)) })
	})
}

func TestWatchEvictionsDeletionsCommands(t *testing.T) {
	s := start(t, Options{}, newMemory())
	c, w := dial(t, s), dial(t, s)
	w.ask("watch evictions deletions rawcmds\r\n", mc.OK)
	s.Watch().Evicted([]byte("gone"), true, -1, 3*time.Second, 2, 5)
	w.wantLine(`.* type=eviction key=gone fetch=yes ttl=-1 la=3 clsid=2 size=5`)
	s.Watch().Evicted([]byte("gone"), false, time.Minute, 0, 2, 5)
	w.wantLine(`.* type=eviction key=gone fetch=no ttl=60 la=0 clsid=2 size=5`)
	s.Watch().Deleted([]byte("k"), "md", 2, 5)
	w.wantLine(`.* type=deleted key=k cmd=md clsid=2 size=5`)
	c.ask("set foo 0 0 2\r\nxy\r\n", mc.Stored)
	w.wantLine(`.* <\d+ set foo 0 0 2`)
}

func TestWatchConnections(t *testing.T) {
	s := start(t, Options{}, newMemory())
	w := dial(t, s)
	w.ask("watch connevents\r\n", mc.OK)
	c := dial(t, s)
	c.send("quit\r\n")
	w.wantLine(`.* type=conn_new rip=127\.0\.0\.1 rport=\d+ transport=tcp cfd=\d+`)
	w.wantLine(`.* type=conn_close rip=127\.0\.0\.1 rport=\d+ transport=tcp reason=normal cfd=\d+`)
	dial(t, s).send("GET / HTTP/1.1\r\n")
	w.wantLine(`.* type=conn_new .*`)
	w.wantLine(`.* type=conn_close .* reason=error cfd=\d+`)
}

// A watcher that doesn't read costs a bounded buffer, delays nobody, and learns how many lines it
// missed.
func TestWatcherThatDoesNotRead(t *testing.T) {
	m := newMemory()
	s := start(t, Options{WatchBytes: 8 << 10}, m)
	c, w := dial(t, s), dial(t, s)
	w.ask("watch\r\n", mc.OK)
	key := strings.Repeat("k", 200)
	const round = 200
	for s.Stats().WatchSkipped == 0 {
		c.ask(strings.Repeat(fmt.Sprintf("get %s\r\n", key), round), strings.Repeat(mc.End, round))
	}
	skipped := regexp.MustCompile(`^skipped=\d+\n$`)
	for line := ""; !skipped.MatchString(line); { // the note waits for no other event
		line = w.line()
	}
	c.ask("get foo\r\n", mc.End)
	w.wantLine(`.* type=item_get .*`)
}

func TestTooManyWatchers(t *testing.T) {
	s := start(t, Options{}, newMemory())
	for range maxWatchers {
		dial(t, s).ask("watch\r\n", mc.OK)
	}
	c := dial(t, s)
	c.ask("watch\r\n", answerManyWatchers)
	c.ask("mn\r\nwatch\r\n", "MN\r\n"+answerNoPipeWatch)
}
