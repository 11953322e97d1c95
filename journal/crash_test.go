package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"
)

// A world is the model: a member that misses keys, its journal, and the keys that are stale on it.
type world struct {
	t      *testing.T
	script string // what happened, for a failure
	r      *rand.Rand
	now    time.Time

	d        *disk
	p        *process
	journals *Journals
	m        *Journal
	batch    Batch
	at       Position

	stale map[string]bool // keys missed and not deleted since; true once acknowledged

	faulty bool // the disk has refused a change
}

const worldSteps = 60

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0),
		d: newDisk(), stale: make(map[string]bool)}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	w.p = w.d.process()
	var err error
	w.journals, err = Open(Options{
		FS: w.p, MaxBytes: 400, MaxAge: 50 * time.Second,
		Now: func() time.Time { return w.now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.m, err = w.journals.Member("a:1"); err != nil {
		w.t.Fatal(err)
	}
	w.at = Position{}
}

func (w *world) note(format string, args ...any) { w.script += fmt.Sprintf(format+"\n", args...) }

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), w.script)
}

// step does one random operation. If the process dies in it, nobody has learned its result.
func (w *world) step() {
	w.now = w.now.Add(time.Second)
	switch w.r.IntN(12) {
	case 0:
		w.begin()
	case 1, 2, 3, 4:
		w.miss()
	case 5, 6, 7:
		w.read()
	case 8:
		w.finish(w.at)
	case 9:
		w.drain(true)
	case 10:
		w.drain(false)
	case 11:
		if w.r.IntN(8) == 0 {
			w.note("cut")
			w.acknowledge(w.m.MarkCut("random cut"))
		}
	}
}

func (w *world) begin() {
	err := w.m.Begin()
	w.note("begin: %v", err)
	w.acknowledge(err == nil)
}

func (w *world) miss() {
	var keys [][]byte
	for range 1 + w.r.IntN(2) {
		keys = append(keys, fmt.Appendf(nil, "key%d", w.r.IntN(6)))
	}
	durable := w.m.Add(keys...)
	w.note("miss %s: %v", keys, durable)
	if w.p.dead {
		return
	}
	for _, key := range keys {
		w.stale[string(key)] = false
	}
	w.acknowledge(durable)
	if !durable && w.r.IntN(2) == 0 {
		w.begin()
	}
}

// acknowledge acknowledges all writes up to now.
func (w *world) acknowledge(durable bool) {
	if !durable || w.p.dead {
		return
	}
	for key := range w.stale {
		w.stale[key] = true
	}
}

// read deletes one batch from the member, or flushes it.
func (w *world) read() (end bool) {
	err := w.m.Read(w.at, &w.batch)
	if errors.Is(err, ErrCut) {
		w.note("flush")
		w.at = w.m.End()
		clear(w.stale)
		return true
	}
	if err != nil {
		w.fatal("read: %v", err)
	}
	for _, e := range w.batch.Entries {
		w.note("delete %s", e.Key)
		delete(w.stale, string(e.Key))
	}
	w.at = w.batch.Next
	return len(w.batch.Entries) == 0
}

func (w *world) finish(at Position) bool {
	over := w.m.Finish(at)
	w.note("finish: %v", over)
	if over && !w.p.dead {
		w.at = Position{}
		if len(w.stale) > 0 {
			w.fatal("finished with stale keys %v", w.stale)
		}
	}
	return over
}

// drain reads to the end, and finishes; if late, another key is missed in between.
func (w *world) drain(late bool) {
	for !w.read() {
	}
	if late {
		w.miss()
	}
	if over := w.finish(w.at); over == late && !w.p.dead {
		w.fatal("finish %v; want %v", over, !late)
	}
}

// restart starts the next process. If the file system has lost writes, or refused all up to the
// end, only acknowledged keys must be in the journal.
func (w *world) restart(power, refused bool) {
	w.t.Helper()
	w.note("restart, power lost: %v", power)
	if power {
		w.d.losePower(w.r)
	}
	w.d.fault, w.faulty = nil, false
	w.open()
	for key, acknowledged := range w.stale {
		if (power || refused) && !acknowledged {
			delete(w.stale, key)
		}
	}
	if !w.m.InOutage() && len(w.stale) > 0 {
		w.fatal("no outage, though %v are stale", w.stale)
	}
	if cut, why := w.m.Cut(); power && w.m.InOutage() && !cut {
		w.fatal("not cut after a loss of power (%s)", why)
	}
	w.drain(false)
}

// play runs a whole script, with a restart when the process dies, soon after a fault, and in the
// middle.
func (w *world) play(power, refused bool) {
	for n := range worldSteps {
		w.step()
		if w.p.dead || n == worldSteps/2 || w.faulty && w.r.IntN(4) == 0 {
			w.restart(power, refused)
		}
	}
	w.restart(power, refused)
}

// part returns how many bytes of a failing write reach the file: often none.
func (w *world) part(n int) int {
	if w.r.IntN(2) == 0 {
		return 0
	}
	return w.r.IntN(n + 1)
}

// TestCrashes ends the process, or the machine, at each change of the disk.
func TestCrashes(t *testing.T) {
	for seed := range uint64(8) {
		whole := newWorld(t, seed)
		whole.play(false, false)
		if whole.d.ops < 20 {
			t.Fatalf("seed %d: %d changes of the disk", seed, whole.d.ops)
		}
		for at := 1; at <= whole.d.ops; at++ {
			for _, power := range []bool{false, true} {
				w := newWorld(t, seed)
				w.note("seed %d, crash at %d", seed, at)
				w.d.fault = func(op int, f *fate) error {
					if op != at {
						return nil
					}
					f.dies = true
					if w.r.IntN(2) == 0 {
						f.bytes = w.part(f.bytes)
						return errDead
					}
					return nil
				}
				w.play(power, false)
			}
		}
	}
}

// TestFaults makes the disk refuse, from each change on: one change, those that grow a file,
// writes, or all.
func TestFaults(t *testing.T) {
	for seed := range uint64(8) {
		whole := newWorld(t, seed)
		whole.play(false, false)
		for _, kind := range []string{"once", "full", "write", "all"} {
			for at := 1; at <= whole.d.ops; at++ {
				for _, power := range []bool{false, true} {
					w := newWorld(t, seed)
					w.note("seed %d, %s from %d", seed, kind, at)
					w.d.fault = func(op int, f *fate) error {
						if op < at || kind == "once" && op > at || kind == "full" && !f.grows || kind == "write" && f.kind != "write" {
							return nil
						}
						w.faulty = true
						f.bytes = w.part(f.bytes)
						return errFull
					}
					w.play(power, kind == "all")
				}
			}
		}
	}
}
