package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// stoppedFile returns the options of a store that was stopped cleanly with items in its file.
func stoppedFile(t *testing.T) Options {
	t.Helper()
	o := Options{File: filepath.Join(t.TempDir(), "memory"), MemoryBytes: 8 << 20, Now: newFakeClock().now}
	s := openAny(t, o)
	c := newClient(t, s)
	for i := range 40_000 {
		c.do(fmt.Sprintf("set k%d 0 0 100\r\n%0100d\r\n", i, i))
	}
	closeStore(t, s)
	return o
}

// TestDamagedFile opens files that are marked as clean and were damaged since. Open finds each
// damage, empties the file, and the store works.
func TestDamagedFile(t *testing.T) {
	whole := stoppedFile(t)
	content, err := os.ReadFile(whole.File)
	if err != nil {
		t.Fatal(err)
	}
	var h header
	word := func(at uintptr, value uint32) func([]byte) {
		return func(b []byte) { *(*uint32)(unsafe.Pointer(&b[at])) = value }
	}
	middle := len(content) / 2
	for what, damage := range map[string]func([]byte){
		"a zeroed middle":              func(b []byte) { clear(b[middle : middle+1<<20]) },
		"a flipped bit of a value":     func(b []byte) { b[middle] ^= 1 },
		"a flipped bit at the end":     func(b []byte) { b[len(b)-1] ^= 0x80 },
		"a ring's end out of bounds":   word(unsafe.Offsetof(h.rings), 1<<31),
		"a free list out of bounds":    word(unsafe.Offsetof(h.freeHead), 1<<30),
		"more buckets than memory":     word(unsafe.Offsetof(h.index), 1<<31),
		"an overflow bucket elsewhere": word(unsafe.Offsetof(h.index)+16, 1<<31),
		"a cyclic ring":                word(pageBytes, 0),
		"another sequence number":      word(unsafe.Offsetof(h.seq), 7),
		"another sum":                  word(unsafe.Offsetof(h.sum), 7),
	} {
		t.Run(what, func(t *testing.T) {
			o := whole
			o.File = filepath.Join(t.TempDir(), "memory")
			damaged := append([]byte(nil), content...)
			damage(damaged)
			if err := os.WriteFile(o.File, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openWarm(t, o, false, "it is damaged")
			c := newClient(t, s)
			c.want("get k39999", "END")
			c.want("set a 0 0 1|x|get a", "STORED|VALUE a 0 1|x|END")
			closeStore(t, s)
			closeStore(t, openWarm(t, o, true, ""))
		})
	}
	closeStore(t, openWarm(t, whole, true, ""))
}

// TestFileOfOthers: Open refuses files that another user could have put at the path, or could
// change, and leaves them unchanged.
func TestFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type other struct {
		what, want string
		make       func(path string) error
	}
	others := []other{
		{"a symbolic link", "is a symbolic link", func(path string) error { return os.Symlink(victim, path) }},
		{"a dangling symbolic link", "is a symbolic link", func(path string) error {
			return os.Symlink(filepath.Join(dir, "none"), path)
		}},
		{"a file that all may write", "has the mode 0666", func(path string) error { return chmod(path, 0o666) }},
		{"a file that a group may write", "has the mode 0660", func(path string) error { return chmod(path, 0o660) }},
		{"a pipe", "is not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	}
	if os.Geteuid() == 0 {
		others = append(others, other{"another user's file", "belongs to user 65534", func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chown(path, 65534, 65534)
		}})
	}
	for i, test := range others {
		path := filepath.Join(dir, fmt.Sprint("file", i))
		if err := test.make(path); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{File: path, MemoryBytes: 8 << 20})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want that it %s", test.what, err, test.want)
		}
		if after, err := os.Lstat(path); err != nil || after.Size() != before.Size() || after.Mode() != before.Mode() {
			t.Errorf("%s: got %v, %v; want it unchanged", test.what, after, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("the link's target was created")
	}
	// A mode that the user's own umask may leave is accepted.
	path := filepath.Join(dir, "readable")
	if err := chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	closeStore(t, openAny(t, Options{File: path, MemoryBytes: 8 << 20}))
}

func chmod(path string, mode os.FileMode) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// TestTruncatedFile truncates the file of a store in use. CheckFile and Close report it, and
// touching the mapping is a panic that names the cause rather than a fault at some address.
func TestTruncatedFile(t *testing.T) {
	o := stoppedFile(t)
	s := openWarm(t, o, true, "")
	if err := s.CheckFile(); err != nil {
		t.Errorf("before the truncation: %v", err)
	}
	if err := os.Truncate(o.File, 0); err != nil {
		t.Fatal(err)
	}
	const want = "another program truncated it from 8388608 bytes to 0"
	if err := s.CheckFile(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v; want that %s", err, want)
	}
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), want) {
				t.Errorf("got the panic %v; want that %s", err, want)
			}
		}()
		s.Tick()
	}()
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Close: got %v; want that %s", err, want)
	}
}

// TestDamageAnywhere flips a bit in each page of a cleanly stopped file, in each byte of the
// header's fields, or cuts or extends the file: no start takes items from it. The start is refused,
// with the file unchanged, or it is empty, with a reason.
func TestDamageAnywhere(t *testing.T) {
	o := Options{File: filepath.Join(t.TempDir(), "memory"), MemoryBytes: 1 << 20, Now: newFakeClock().now}
	s := openAny(t, o)
	c := newClient(t, s)
	for i := range 5000 {
		c.do(fmt.Sprintf("set k%d 0 0 50\r\n%050d\r\n", i, i))
	}
	closeStore(t, s)
	whole, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(testSeed(t), 0))
	check := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(o.File, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(o)
		if err != nil {
			if after, readErr := os.ReadFile(o.File); readErr != nil || !bytes.Equal(after, content) {
				t.Errorf("%s: refused, and the file has changed: %v, %v", what, err, readErr)
			}
			return
		}
		if warm, why := s.Warm(); warm || why == "" || s.Snapshot().Items != 0 {
			t.Errorf("%s: warm %v, reason %q, %d items; want an empty store", what, warm, why, s.Snapshot().Items)
		}
		closeStore(t, s)
	}
	flip := func(at int) {
		t.Helper()
		content := bytes.Clone(whole)
		content[at] ^= 1 << r.IntN(8)
		check(fmt.Sprintf("a bit of byte %d", at), content)
	}
	few := 1
	if testing.Short() {
		few = 8
	}
	for page := pageBytes; page < len(whole); page += few * pageBytes {
		flip(page + r.IntN(pageBytes))
	}
	for at := 0; at < int(unsafe.Sizeof(header{})); at += few {
		flip(at)
	}
	for _, size := range []int{1, 7, 8, 100, pageBytes - 1, pageBytes, len(whole) / 2, len(whole) - 1} {
		check(fmt.Sprintf("cut to %d bytes", size), whole[:size])
	}
	check("extended by a byte", append(bytes.Clone(whole), 0))
	check("twice", append(bytes.Clone(whole), whole...))
	check("empty of all but its header", append(bytes.Clone(whole[:pageBytes]), make([]byte, len(whole)-pageBytes)...))
	if err := os.WriteFile(o.File, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, openWarm(t, o, true, ""))
}
