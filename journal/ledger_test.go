package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// crashed opens the directory, which the process before has not closed, as a process after kill -9
// does.
func crashed(t *testing.T, directory, boot string, lanes int) *Journals {
	t.Helper()
	_, err := os.Stat(filepath.Join(directory, ledgerName))
	f := &folderOf{path: directory, boot: boot, used: err == nil}
	o := quiet("")
	o.FS, o.Lanes = f, lanes
	return open(t, o)
}

// folderOf is a directory without its lock, under a boot that the test chooses.
type folderOf struct {
	path, boot string
	used       bool
}

func (f *folderOf) real() *directory { return &directory{path: f.path, boot: f.boot, used: f.used} }

func (f *folderOf) Open(name string) (File, error)   { return f.real().Open(name) }
func (f *folderOf) Create(name string) (File, error) { return f.real().Create(name) }
func (f *folderOf) Remove(name string) error         { return f.real().Remove(name) }
func (f *folderOf) Sync() error                      { return nil }
func (f *folderOf) Boot() string                     { return f.boot }
func (f *folderOf) Close() error                     { return nil }
func (f *folderOf) Used() bool                       { return f.used }
func (f *folderOf) SyncMap(mem []byte) error         { return f.real().SyncMap(mem) }
func (f *folderOf) Unmap(mem []byte) error           { return f.real().Unmap(mem) }
func (f *folderOf) Map(name string, size int64) ([]byte, int64, error) {
	return f.real().Map(name, size)
}

// leftOf are the keys that a ledger has found, by pool.
func leftOf(l *Ledger) (keys []string, unknown string) {
	intents, unknown := l.Unresolved()
	for _, i := range intents {
		keys = append(keys, string(rune('A'+i.Pool))+":"+string(i.Key))
	}
	slices.Sort(keys)
	return keys, unknown
}

func wantLeft(t *testing.T, l *Ledger, unknown string, want ...string) {
	t.Helper()
	got, why := leftOf(l)
	if !slices.Equal(got, want) || !strings.Contains(why, unknown) || (unknown == "") != (why == "") {
		t.Errorf("left %q, unknown %q; want %q, %q", got, why, want, unknown)
	}
}

// What is on its way when a process is killed is found by the next one, and by the one after it
// unless it was settled.
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
	wantLeft(t, second, "", want...)
	second.Lane(3).Begin(2, []byte("c"))
	third := crashed(t, directory, "boot", 1).Ledger() // killed before it had settled
	wantLeft(t, third, "", append(want, "C:c")...)
	third.Resolve()
	wantLeft(t, third, "")
	n := third.Lane(0).Begin(0, []byte("d"))
	fourth := crashed(t, directory, "boot", 1).Ledger()
	wantLeft(t, fourth, "", "A:d")
	third.Lane(0).End(n)
	wantLeft(t, crashed(t, directory, "boot", 1).Ledger(), "")
	if a, b := first.Ledger().Identity(), fourth.Identity(); a != b || len(a) != 32 {
		t.Errorf("identities %q and %q", a, b)
	}
	if a, b := first.Ledger().Generation(), fourth.Generation(); a != 1 || b != 4 {
		t.Errorf("generations %d and %d", a, b)
	}
}

// A full ledger counts, and the next process knows that it doesn't know all, until that was
// settled.
func TestLedgerIsFull(t *testing.T) {
	directory := t.TempDir()
	l := crashed(t, directory, "boot", 1).Ledger()
	for range slotsPerLane + 3 {
		l.Lane(0).Begin(0, []byte("k"))
	}
	l.Lane(0).Begin(0, bytes.Repeat([]byte("k"), slotKeyBytes+1))
	second := crashed(t, directory, "boot", 1).Ledger()
	if keys, unknown := leftOf(second); len(keys) != slotsPerLane || unknown == "" {
		t.Errorf("got %d keys, unknown %q", len(keys), unknown)
	}
	second.Lane(0).Begin(0, []byte("more")) // no slot is free before they are settled
	third := crashed(t, directory, "boot", 1).Ledger()
	third.Resolve()
	for range slotsPerLane { // which the settled slots are again
		third.Lane(0).Begin(1, []byte("k"))
	}
	fourth := crashed(t, directory, "boot", 1).Ledger()
	if keys, unknown := leftOf(fourth); len(keys) != slotsPerLane || unknown != "" {
		t.Errorf("after it was settled: got %d keys, unknown %q", len(keys), unknown)
	}
}

// Counts of writes without a slot come back to none.
func TestLedgerCountsBack(t *testing.T) {
	directory := t.TempDir()
	lane := crashed(t, directory, "boot", 1).Ledger().Lane(0)
	var notes []Note
	for range slotsPerLane + 100 {
		notes = append(notes, lane.Begin(0, []byte("k")))
	}
	for _, n := range notes {
		lane.End(n)
	}
	wantLeft(t, crashed(t, directory, "boot", 1).Ledger(), "")
}

// After the machine has crashed, a ledger says that it isn't complete; not if its process had ended
// in order.
func TestLedgerOverABoot(t *testing.T) {
	directory := t.TempDir()
	first := crashed(t, directory, "one", 1)
	first.Ledger().Lane(0).Begin(0, []byte("k"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := crashed(t, directory, "two", 1)
	wantLeft(t, second.Ledger(), "", "A:k")
	third := crashed(t, directory, "three", 1)
	wantLeft(t, third.Ledger(), "started anew", "A:k")
	fourth := crashed(t, directory, "three", 1) // killed before it had settled
	wantLeft(t, fourth.Ledger(), "more writes", "A:k")
	fourth.Ledger().Resolve()
	wantLeft(t, crashed(t, directory, "three", 1).Ledger(), "")
	nowhere := t.TempDir() // where boots can't be told apart
	crashed(t, nowhere, "", 1)
	wantLeft(t, crashed(t, nowhere, "", 1).Ledger(), "started anew")
}

// A directory that was used, and has no ledger or a garbled one, gets another identity, and says
// so.
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
		_, unknown := l.Unresolved()
		if !strings.Contains(unknown, "missing or garbled") || l.Created() || l.Identity() == identity {
			t.Errorf("%s: unknown %q, created %v, identity %s (was %s)", name, unknown, l.Created(), l.Identity(), identity)
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
	if intents, unknown := l.Unresolved(); intents != nil || unknown != "" || l.Created() {
		t.Errorf("got %v, %q", intents, unknown)
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

// What goes on while a router closes finds a ledger that is closed.
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
