package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// quiet returns Options that log nowhere.
func quiet(directory string) Options {
	return Options{Folder: directory, Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, o Options) *Journals {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func member(t *testing.T, j *Journals, name string) *Journal {
	t.Helper()
	m, err := j.Member(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readAll returns the keys from a position to the end, and the end.
func readAll(m *Journal, from Position) ([]string, Position, error) {
	var keys []string
	for b := (Batch{Next: from}); ; {
		if err := m.Read(b.Next, &b); err != nil {
			return keys, b.Next, err
		}
		if len(b.Entries) == 0 {
			return keys, b.Next, nil
		}
		for _, e := range b.Entries {
			keys = append(keys, string(e.Key))
		}
	}
}

func wantKeys(t *testing.T, m *Journal, want ...string) Position {
	t.Helper()
	got, end, err := readAll(m, Position{})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	return end
}

func TestOutage(t *testing.T) {
	for _, directory := range []string{"", t.TempDir()} {
		j := open(t, quiet(directory))
		m := member(t, j, "127.0.0.1:11211")
		if m.InOutage() || !m.Finish(Position{}) {
			t.Error("a new journal is in an outage")
		}
		if m.Add([]byte("a"), []byte("b")) {
			t.Error("Add without Begin is durable")
		}
		if err := m.Begin(); err != nil {
			t.Fatal(err)
		}
		if !m.Add([]byte("c")) || !m.InOutage() {
			t.Error("not durable after Begin")
		}
		m.Add([]byte("b")) // left out, since no reader has had it
		end := wantKeys(t, m, "a", "b", "c")
		m.Add([]byte("a"))
		if s := m.Stats(); s.Keys != 4 || s.Bytes == 0 || s.Since.IsZero() {
			t.Errorf("got %+v", s)
		}
		if m.Finish(end) || m.Finish(Position{}) {
			t.Error("finished before the end")
		}
		late, end, err := readAll(m, end)
		if err != nil || !slices.Equal(late, []string{"a"}) {
			t.Errorf("got %q, %v", late, err)
		}
		if !m.Finish(end) || m.InOutage() || m.Stats() != (Stats{}) {
			t.Errorf("the outage is not over: %+v", m.Stats())
		}
		if keys, _, err := readAll(m, end); len(keys) > 0 || err != nil || !m.Finish(end) {
			t.Errorf("after the outage: got keys %q, %v; want none", keys, err)
		}
		m.Add([]byte("d"))
		if m.Finish(end) {
			t.Error("finished at a position of an earlier outage")
		}
		if _, from, err := readAll(m, end); err != nil || !m.Finish(from) {
			t.Errorf("not finished: %v", err)
		}
	}
}

func TestNextProcess(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "a", "b")
	first := open(t, quiet(directory))
	m := member(t, first, "unix:/run/Memcached.sock")
	if err := m.Begin(); err != nil {
		t.Fatal(err)
	}
	m.Add([]byte("a"), []byte{0, 255, '\n'})
	if _, err := Open(quiet(directory)); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), directory) {
		t.Errorf("got %v; want ErrLocked", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if m.Add([]byte("c")) || m.MarkCut("") || !errors.Is(m.Begin(), ErrClosed) ||
		!errors.Is(m.Read(Position{}, &Batch{}), ErrClosed) || m.Finish(Position{}) {
		t.Error("a closed journal works")
	}
	if _, err := first.Member("b"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}

	second := open(t, quiet(directory))
	m = member(t, second, "unix:/run/Memcached.sock")
	if m.Add([]byte("d")) {
		t.Error("durable without a sync of this process")
	}
	if err := m.Begin(); err != nil || !m.InOutage() {
		t.Errorf("in outage %v, %v", m.InOutage(), err)
	}
	end := wantKeys(t, m, "a", "\x00\xff\n", "d")
	if !m.Finish(end) {
		t.Error("not finished")
	}
	if left, err := filepath.Glob(filepath.Join(directory, "*"+suffix)); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

// TestCut cuts a journal in each way, and wants it cut in the next process too.
func TestCut(t *testing.T) {
	long := make([]byte, maxKeyBytes+1)
	for _, test := range []struct {
		why string
		do  func(m *Journal, now *time.Time)
	}{
		{"exceed 100 bytes", func(m *Journal, _ *time.Time) { m.Add(long[:60]) }},
		{"older than 1h0m0s", func(_ *Journal, now *time.Time) { *now = now.Add(time.Hour + 1) }},
		{"a key of 0 bytes", func(m *Journal, _ *time.Time) { m.Add([]byte{}) }},
		{"a key of 16385 bytes", func(m *Journal, _ *time.Time) { m.Add(long) }},
		{"flush_all", func(m *Journal, _ *time.Time) { m.MarkCut("flush_all") }},
	} {
		now := time.Now()
		o := quiet(t.TempDir())
		o.MaxBytes, o.MaxAge, o.Now = 100, time.Hour, func() time.Time { return now }
		first := open(t, o)
		m := member(t, first, "m")
		if err := m.Begin(); err != nil {
			t.Fatal(err)
		}
		at := wantKeys(t, m)
		test.do(m, &now)
		if cut, why := m.Cut(); !cut || !strings.Contains(why, test.why) {
			t.Errorf("%s: got %v, %q", test.why, cut, why)
		}
		m.Add([]byte("k"))
		if s := m.Stats(); s.Keys != 0 || s.Bytes != 0 {
			t.Errorf("%s: got %+v", test.why, s)
		}
		if _, _, err := readAll(m, at); !errors.Is(err, ErrCut) || m.Finish(at) {
			t.Errorf("%s: got %v", test.why, err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}

		second := open(t, o)
		m = member(t, second, "m")
		if cut, _ := m.Cut(); !cut || m.Finish(Position{}) {
			t.Errorf("%s: not cut in the next process", test.why)
		}
		flushed := m.End()
		m.Add([]byte("k"))
		if m.Finish(flushed) {
			t.Errorf("%s: a key missed during the flush is lost", test.why)
		}
		if !m.Finish(m.End()) {
			t.Errorf("%s: not finished after the flush", test.why)
		}
		if cut, _ := m.Cut(); cut || m.InOutage() {
			t.Errorf("%s: cut after the flush", test.why)
		}
	}
}

// TestFlushInstead flushes a member whose journal is complete. A key that is in the journal and is
// added again after the flush began must be in it twice.
func TestFlushInstead(t *testing.T) {
	m := member(t, open(t, quiet("")), "m")
	m.Add([]byte("k"))
	flushed := m.End()
	m.Add([]byte("k"))
	if m.Finish(flushed) {
		t.Error("a key missed during the flush is lost")
	}
}

// TestRecent adds keys repeatedly, more than recent can tell apart.
func TestRecent(t *testing.T) {
	m := member(t, open(t, quiet("")), "m")
	const keys = recentSlots / 4
	for range 5 {
		for n := range keys {
			m.Add(fmt.Appendf(nil, "key %d", n))
		}
	}
	if got := m.Stats().Keys; got < keys || got > 2*keys {
		t.Errorf("got %d records of %d keys", got, keys)
	}
	got, _, err := readAll(m, Position{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != keys {
		t.Errorf("got %d keys; want %d", len(got), keys)
	}
}

func TestFileName(t *testing.T) {
	for member, want := range map[string]string{
		"10.0.0.1:11211":         "10.0.0.1%3a11211.journal",
		"unix:/run/Cache.sock":   "unix%3a%2frun%2f%43ache.sock.journal",
		"..":                     "%2e..journal",
		"%3a":                    "%253a.journal",
		"[::1]:1":                "%5b%3a%3a1%5d%3a1.journal",
		strings.Repeat("a", 200): strings.Repeat("a", 200) + ".journal",
	} {
		if got := fileName(member); got != want {
			t.Errorf("%s: got %s; want %s", member, got, want)
		}
	}
	if got := fileName(strings.Repeat("a", 201)); !strings.HasPrefix(got, "%_") || len(got) != 2+64+len(suffix) {
		t.Errorf("a long name: got %s", got)
	}
	j := open(t, quiet(t.TempDir()))
	for _, name := range []string{"", strings.Repeat("a", maxNameBytes+1)} {
		if _, err := j.Member(name); err == nil {
			t.Errorf("a name of %d bytes is accepted", len(name))
		}
	}
	if m := member(t, j, strings.Repeat("a", maxNameBytes)); m.Begin() != nil || m.Add([]byte("k")) != true {
		t.Error("a long name is refused")
	}
}

// TestUnusable opens directories and files that can't be used.
func TestUnusable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, directory := range []string{path, filepath.Join(path, "within")} {
		if _, err := Open(quiet(directory)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", directory, err)
		}
	}
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, fileName("m")), 0o700); err != nil {
		t.Fatal(err)
	}
	j := open(t, quiet(directory))
	if _, err := j.Member("m"); err == nil {
		t.Error("a directory is accepted as a file")
	}
}

// A directory that is removed while it is in use is created again. The next process notices that
// records may be missing, whether it finds the new directory or the old one.
func TestDirectoryIsRemovedInUse(t *testing.T) {
	for _, back := range []bool{false, true} {
		directory := filepath.Join(t.TempDir(), "above", "journal")
		first := open(t, quiet(directory))
		identity := first.Ledger().Identity()
		m := member(t, first, "m")
		moved := directory + ".moved"
		if err := os.Rename(directory, moved); err != nil {
			t.Fatal(err)
		}
		m.Add([]byte("k"))
		if err := m.Begin(); err != nil {
			t.Fatal(err)
		}
		wantKeys(t, m, "k")
		if _, err := Open(quiet(directory)); !errors.Is(err, ErrLocked) {
			t.Errorf("a second process: got %v; want %v", err, ErrLocked)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if back {
			if err := errors.Join(os.RemoveAll(directory), os.Rename(moved, directory)); err != nil {
				t.Fatal(err)
			}
		}
		second := open(t, quiet(directory))
		_, unknown := second.Ledger().Unresolved()
		if unknown == "" || second.Ledger().Created() {
			t.Errorf("back %t: the next process takes the directory for complete, or for new", back)
		}
		if same := second.Ledger().Identity() == identity; same != back {
			t.Errorf("back %t: the identity is the same: %t", back, same)
		}
		if !back {
			wantKeys(t, member(t, second, "m"), "k")
		}
	}
}

// While a directory can't be created again, no Add is durable; afterwards it is.
func TestDirectoryCannotBeCreatedAgain(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	j := open(t, quiet(filepath.Join(above, "journal")))
	m := member(t, j, "m")
	if err := errors.Join(os.RemoveAll(above), os.WriteFile(above, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m.Add([]byte("k")) {
			t.Error("Add is durable without a directory")
		}
		if err := m.Begin(); err == nil || strings.Count(err.Error(), "journal: ") != 1 {
			t.Errorf("got %v; want one error of the journal's", err)
		}
	}
	if err := os.Remove(above); err != nil {
		t.Fatal(err)
	}
	if err := m.Begin(); err != nil {
		t.Error(err)
	}
	if cut, _ := m.Cut(); !cut {
		t.Error("not cut")
	}
}
