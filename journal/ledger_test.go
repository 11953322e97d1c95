package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// crashed opens a directory that the process before has not closed, as after kill -9.
func crashed(t *testing.T, directory, boot string, lanes int) *Journals {
	t.Helper()
	_, err := os.Stat(filepath.Join(directory, ledgerName))
	f := &unlocked{path: directory, boot: boot, used: err == nil}
	o := quiet("")
	o.FS, o.Lanes = f, lanes
	return open(t, o)
}

// unlocked is a directory without its lock, under a boot ID that the test chooses.
type unlocked struct {
	path, boot string
	used       bool
}

func (f *unlocked) real() *directory { return &directory{path: f.path, boot: f.boot, used: f.used} }

func (f *unlocked) Open(name string) (File, error)   { return f.real().Open(name) }
func (f *unlocked) Create(name string) (File, error) { return f.real().Create(name) }
func (f *unlocked) Remove(name string) error         { return f.real().Remove(name) }
func (f *unlocked) Sync() error                      { return nil }
func (f *unlocked) Boot() string                     { return f.boot }
func (f *unlocked) Close() error                     { return nil }
func (f *unlocked) Used() bool                       { return f.used }
func (f *unlocked) SyncMap(mem []byte) error         { return f.real().SyncMap(mem) }
func (f *unlocked) Unmap(mem []byte) error           { return f.real().Unmap(mem) }
func (f *unlocked) Map(name string, size int64) ([]byte, int64, error) {
	return f.real().Map(name, size)
}

// unresolvedOf returns the keys of a ledger's unresolved intents, each with its pool as a letter.
func unresolvedOf(l *Ledger) (keys []string, incomplete string) {
	intents, incomplete := l.Unresolved()
	for _, i := range intents {
		keys = append(keys, string(rune('A'+i.Pool))+":"+string(i.Key))
	}
	slices.Sort(keys)
	return keys, incomplete
}

func wantUnresolved(t *testing.T, l *Ledger, incomplete string, want ...string) {
	t.Helper()
	got, why := unresolvedOf(l)
	if !slices.Equal(got, want) || !strings.Contains(why, incomplete) || (incomplete == "") != (why == "") {
		t.Errorf("unresolved %q, incomplete %q; want %q, %q", got, why, want, incomplete)
	}
}

// The next process finds the writes that were in flight when a process was killed, and so does the
// one after it unless they were resolved.
func TestLedgerOverAKill(t *testing.T) {
	directory := t.TempDir()
	first := crashed(t, directory, "boot", 2)
	l := first.Ledger()
	ended := l.Lane(0).Begin(0, []byte("ended"))
	l.Lane(0).Begin(0, []byte("a"))
	l.Lane(1).Begin(1, bytes.Repeat([]byte("k"), 250))
	l.Lane(0).End(ended)
	again := l.Lane(0).Begin(1, []byte("b")) // takes the slot of ended
	l.Lane(0).End(again)

	want := []string{"A:a", "B:" + strings.Repeat("k", 250)}
	second := crashed(t, directory, "boot", 4).Ledger() // more loops than before
	wantUnresolved(t, second, "", want...)
	second.Lane(3).Begin(2, []byte("c"))
	third := crashed(t, directory, "boot", 1).Ledger() // killed before Resolve
	wantUnresolved(t, third, "", append(want, "C:c")...)
	third.Resolve()
	wantUnresolved(t, third, "")
	n := third.Lane(0).Begin(0, []byte("d"))
	fourth := crashed(t, directory, "boot", 1).Ledger()
	wantUnresolved(t, fourth, "", "A:d")
	third.Lane(0).End(n)
	wantUnresolved(t, crashed(t, directory, "boot", 1).Ledger(), "")
	if a, b := first.Ledger().Identity(), fourth.Identity(); a != b || len(a) != 32 {
		t.Errorf("identities %q and %q", a, b)
	}
	if a, b := first.Ledger().Generation(), fourth.Generation(); a != 1 || b != 4 {
		t.Errorf("generations %d and %d", a, b)
	}
}

// A full ledger counts the writes beyond its slots, and is incomplete for later processes until
// Resolve.
func TestLedgerIsFull(t *testing.T) {
	directory := t.TempDir()
	l := crashed(t, directory, "boot", 1).Ledger()
	for range slotsPerLane + 3 {
		l.Lane(0).Begin(0, []byte("k"))
	}
	l.Lane(0).Begin(0, bytes.Repeat([]byte("k"), slotKeyBytes+1))
	second := crashed(t, directory, "boot", 1).Ledger()
	if keys, incomplete := unresolvedOf(second); len(keys) != slotsPerLane || incomplete == "" {
		t.Errorf("got %d keys, incomplete %q", len(keys), incomplete)
	}
	second.Lane(0).Begin(0, []byte("more")) // no slot is free before Resolve
	third := crashed(t, directory, "boot", 1).Ledger()
	third.Resolve()
	for range slotsPerLane { // all are free again
		third.Lane(0).Begin(1, []byte("k"))
	}
	fourth := crashed(t, directory, "boot", 1).Ledger()
	if keys, incomplete := unresolvedOf(fourth); len(keys) != slotsPerLane || incomplete != "" {
		t.Errorf("after Resolve: got %d keys, incomplete %q", len(keys), incomplete)
	}
}

// The count of writes without a slot returns to 0 when they end.
func TestLedgerCountReturnsToZero(t *testing.T) {
	directory := t.TempDir()
	lane := crashed(t, directory, "boot", 1).Ledger().Lane(0)
	var notes []Note
	for range slotsPerLane + 100 {
		notes = append(notes, lane.Begin(0, []byte("k")))
	}
	for _, n := range notes {
		lane.End(n)
	}
	wantUnresolved(t, crashed(t, directory, "boot", 1).Ledger(), "")
}

// After a crash of the machine a ledger is incomplete, unless its process had stopped cleanly.
func TestLedgerOverABoot(t *testing.T) {
	directory := t.TempDir()
	first := crashed(t, directory, "one", 1)
	first.Ledger().Lane(0).Begin(0, []byte("k"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := crashed(t, directory, "two", 1)
	wantUnresolved(t, second.Ledger(), "", "A:k")
	third := crashed(t, directory, "three", 1)
	wantUnresolved(t, third.Ledger(), "restarted", "A:k")
	fourth := crashed(t, directory, "three", 1) // killed before Resolve
	wantUnresolved(t, fourth.Ledger(), "more writes were in flight", "A:k")
	fourth.Ledger().Resolve()
	wantUnresolved(t, crashed(t, directory, "three", 1).Ledger(), "")
	nowhere := t.TempDir() // on a machine without boot IDs
	crashed(t, nowhere, "", 1)
	wantUnresolved(t, crashed(t, nowhere, "", 1).Ledger(), "restarted")
}

// If the ledger of a used directory is missing or damaged, it gets a new identity and is
// incomplete.
func TestLedgerIsLost(t *testing.T) {
	directory := t.TempDir()
	first := open(t, quiet(directory))
	if l := first.Ledger(); !l.Created() {
		t.Error("the first ledger of a directory: not created")
	}
	identity := first.Ledger().Identity()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(directory, ledgerName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"removed":   func() error { return os.Remove(file) },
		"emptied":   func() error { return os.Truncate(file, 0) },
		"identity":  func() error { return flipped(file, whole, identityAt) },
		"boot":      func() error { return flipped(file, whole, bootAt+2) },
		"magic":     func() error { return flipped(file, whole, 0) },
		"slotBytes": func() error { return flipped(file, whole, 12) },
		"bootBytes": func() error { return flipped(file, whole, bootAt+1) },
	} {
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		j, err := Open(quiet(directory))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l := j.Ledger()
		_, incomplete := l.Unresolved()
		if !strings.Contains(incomplete, "missing or damaged") || l.Created() || l.Identity() == identity {
			t.Errorf("%s: incomplete %q, created %v, identity %s (was %s)", name, incomplete, l.Created(),
				l.Identity(), identity)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func flipped(file string, whole []byte, at int) error {
	b := bytes.Clone(whole)
	b[at] ^= 0x10
	return os.WriteFile(file, b, 0o600)
}

// Journals in memory have no ledger.
func TestLedgerInMemory(t *testing.T) {
	l := open(t, quiet("")).Ledger()
	lane := l.Lane(7)
	lane.End(lane.Begin(0, []byte("k")))
	if intents, incomplete := l.Unresolved(); intents != nil || incomplete != "" || l.Created() {
		t.Errorf("got %v, %q; want nothing", intents, incomplete)
	}
	l.Resolve()
}

func BenchmarkLedger(b *testing.B) {
	j, err := Open(quiet(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	lane, key := j.Ledger().Lane(0), []byte("a key of usual length, 32 bytes")
	for b.Loop() {
		lane.End(lane.Begin(1, key))
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// Calls during a router's close may come after the ledger is closed.
func TestLedgerIsClosed(t *testing.T) {
	j := open(t, quiet(t.TempDir()))
	l := j.Ledger()
	generation, err := l.Advance()
	if err != nil || generation != 2 {
		t.Fatalf("got %d, %v", generation, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	l.Resolve()
	if _, err := l.Advance(); err == nil {
		t.Error("a closed ledger advances")
	}
	if got := l.Generation(); got != generation {
		t.Errorf("generation %d; want %d", got, generation)
	}
}
