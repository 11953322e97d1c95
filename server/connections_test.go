package server

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/mc"
)

// pausable is an acceptor that notes whether it is paused.
type pausable struct{ paused bool }

func (p *pausable) Pause()       { p.paused = true }
func (p *pausable) Resume()      { p.paused = false }
func (p *pausable) Close() error { return nil }
func (p *pausable) FD() int      { return 0 }

// Connections come and go, and listeners are added, at random: over the maximum they are refused,
// or the listeners pause, all of them, for as long as no place is free; while the server drains
// none resumes, and emptied is closed by the last to leave.
func TestConnectionsAgainstModel(t *testing.T) {
	for _, wait := range []bool{false, true} {
		for seed := range uint64(50) {
			random := rand.New(rand.NewPCG(seed, 0))
			c := newConnections(&Options{MaxConnections: 3, WaitOverMax: wait})
			var acceptors []*pausable
			open, total, rejected, pauses := 0, 0, 0, 0
			paused := false
			for step := range 200 {
				switch random.IntN(5) {
				case 0, 1:
					if over := open >= 3 && !wait; c.admit() == over {
						t.Fatalf("wait %v, seed %d, step %d: %d of 3 connections: admitted %v", wait, seed, step, open, over)
					} else if over {
						rejected++
						continue
					}
					open, total = open+1, total+1
					if wait && open >= 3 && !paused {
						paused = true
						pauses++
					}
				case 2, 3:
					if open == 0 {
						continue
					}
					c.leave()
					if open--; open < 3 {
						paused = false
					}
				default:
					if len(acceptors) < 4 {
						acceptors = append(acceptors, &pausable{})
						c.add(acceptors[len(acceptors)-1])
					}
				}
				for i, a := range acceptors {
					if a.paused != paused || (c.accepting() == 0) != paused {
						t.Fatalf("wait %v, seed %d, step %d: listener %d paused %v, accepting %d; want paused %v",
							wait, seed, step, i, a.paused, c.accepting(), paused)
					}
				}
			}
			if got := c.open.Load(); got != int64(open) || c.total.Load() != int64(total) ||
				c.rejected.Load() != int64(rejected) || c.pauses.Load() != int64(pauses) {
				t.Errorf("wait %v, seed %d: got %d open, %d in all, %d rejected, %d pauses; want %d, %d, %d, %d", wait, seed,
					got, c.total.Load(), c.rejected.Load(), c.pauses.Load(), open, total, rejected, pauses)
			}
			c.draining.Store(true)
			for ; open > 0; open-- {
				select {
				case <-c.emptied:
					t.Fatalf("wait %v, seed %d: emptied with %d connections open", wait, seed, open)
				default:
				}
				c.leave()
			}
			if c.empty(); slices.ContainsFunc(acceptors, func(a *pausable) bool { return a.paused != paused }) {
				t.Errorf("wait %v, seed %d: a listener resumes although the server drains", wait, seed)
			}
			<-c.emptied
		}
	}
}

// Random users and passwords, with the separators of every protocol in them: a client is known
// exactly if the file has its pair, by the text protocol where that can express it, and by SASL.
func TestLoginsAgainstModel(t *testing.T) {
	const letters = "ab: \x00"
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		word := func(most int) string {
			b := make([]byte, random.IntN(most+1))
			for i := range b {
				b[i] = letters[random.IntN(len(letters))]
			}
			return string(b)
		}
		file := filepath.Join(t.TempDir(), "users")
		var lines []string
		known := map[[2]string]bool{}
		for range 5 {
			line := word(2) + ":" + word(2)
			lines = append(lines, line)
			user, password, _ := strings.Cut(line, ":")
			known[[2]string{user, password}] = true
		}
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\r\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		auth, err := openAuthFile(file)
		if err != nil {
			t.Fatalf("seed %d: %q: %v", seed, lines, err)
		}
		for range 30 {
			user, password := word(2), word(2)
			if random.IntN(3) == 0 {
				user, password, _ = strings.Cut(lines[random.IntN(len(lines))], ":")
			}
			want := known[[2]string{user, password}]
			if got := auth.check([]byte(user), []byte(password)); got != want {
				t.Fatalf("seed %d, users %q: %q with %q: got %v; want %v", seed, lines, user, password, got, want)
			}
			l := login{server: &Server{auth: auth}}
			if !strings.Contains(user, " ") {
				l.checkToken([]byte(user + " " + password + "\r\n"))
				if l.known != want || l.punished == want || l.wrong != map[bool]int{true: 0, false: 1}[want] {
					t.Fatalf("seed %d, users %q: token of %q with %q: got %+v; want known %v", seed, lines, user, password, l, want)
				}
			}
			if !strings.Contains(user, "\x00") {
				as := []string{"", user}[random.IntN(2)]
				u, p, ok := cutPlain([]byte(as + "\x00" + user + "\x00" + password))
				if got := ok && auth.check(u, p); got != want {
					t.Fatalf("seed %d, users %q: PLAIN of %q with %q: got %v; want %v", seed, lines, user, password, got, want)
				}
			}
		}
	}
}

// A file of users with a fault is refused with its line, and the users before stay in force.
func TestBadUsersFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ann:secret\n")
	auth, err := openAuthFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"bob:x\nann\n": "line 2: not user:password",
		"\n\r\nbob":    "line 3: not user:password",
		"bob:" + strings.Repeat("x", maxAuthLine) + "\n": "line 1: 260 bytes; at most 256",
		strings.Repeat("bob:x\n", maxAuthEntries+1):      "more than 1024 users",
		"bob:" + strings.Repeat("x", 100_000):            "token too long",
	} {
		write(text)
		if err := auth.load(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%.30q: got %v; want %s", text, err, want)
		}
		if !auth.check([]byte("ann"), []byte("secret")) || auth.check([]byte("bob"), []byte("x")) {
			t.Errorf("%.30q: the users before are not in force", text)
		}
	}
	write(strings.Repeat("bob:x\n", maxAuthEntries-1) + "bob:" + strings.Repeat("x", maxAuthLine-4))
	if err := auth.load(); err != nil {
		t.Errorf("the largest file: %v", err)
	}
}

// Each word of the command watch shows the events of its kind, and no others.
func TestWatchWords(t *testing.T) {
	s := start(t, Options{}, newMemory())
	kinds := map[string]string{ // word → what its lines have
		"fetchers": "type=item_get ", "mutations": "type=item_store ", "evictions": "type=eviction ",
		"deletions": "type=deleted ", "connevents": "type=conn_new ", "rawcmds": " <", "": "type=item_get ",
	}
	watchers := map[string]*client{}
	for word := range kinds {
		watchers[word] = dial(t, s)
		watchers[word].ask("watch "+word+"\r\n", mc.OK)
	}
	nothing := dial(t, s)
	nothing.ask("watch sysevents proxyreqs proxyevents proxyuser\r\n", mc.OK)
	for range 2 { // all kinds between two events of a kind
		dial(t, s).ask("get k\r\n", mc.End) // conn_new, rawcmds, item_get
		w := s.Watch()
		w.Stored([]byte("k"), "stored", "set", 0, 1, 9, 1)
		w.Evicted([]byte("k"), true, -1, 0, 1, 1)
		w.Deleted([]byte("k"), "delete", 1, 1)
	}
	for word, c := range watchers {
		for range 2 {
			if got := c.line(); !strings.Contains(got, kinds[word]) {
				t.Errorf("watch %s: got %q; want lines with %q", word, got, kinds[word])
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Shutdown(ctx)
	nothing.wantEnd() // without a line
}
