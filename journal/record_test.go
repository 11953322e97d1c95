package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// fileOf returns the bytes of a file with these keys, as a process under the same boot left them.
func fileOf(t testing.TB, d *disk, keys ...string) []byte {
	t.Helper()
	now := time.Unix(1e9, 12345)
	h := header{begun: now.UnixNano(), boot: d.process().Boot(), member: "m"}
	b, sum := h.appendTo(nil), h.sum()
	for n, key := range keys {
		b, sum = appendRecord(b, []byte(key), now.Add(time.Duration(n)).UnixNano(), sum)
	}
	return b
}

// opened returns the journal that a process reads from the bytes.
func opened(t testing.TB, d *disk, b []byte) *Journal {
	t.Helper()
	d.now[fileName("m")] = &inode{now: bytes.Clone(b)}
	o := quiet("")
	o.FS, o.Now = d.process(), func() time.Time { return time.Unix(1e9, 0) }
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := j.Member("m")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDamaged(t *testing.T) {
	keys := []string{"one", "two", "three", "two"}
	d := newDisk()
	whole := fileOf(t, d, keys...)
	if got, _, err := readAll(opened(t, d, whole), Position{}); err != nil || !slices.Equal(got, keys) {
		t.Fatalf("got %q, %v; want %q", got, err, keys)
	}
	records := len(fileOf(t, d))
	check := func(what string, b []byte) {
		t.Helper()
		m := opened(t, d, b)
		cut, _ := m.Cut()
		if !cut || !m.InOutage() {
			t.Errorf("%s: cut %v", what, cut)
		}
		// The file says that it is cut from then on.
		if cut, _ := opened(t, d, d.now[fileName("m")].now).Cut(); !cut {
			t.Errorf("%s: not cut when it is opened again", what)
		}
	}
	for at := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			check(fmt.Sprintf("byte %d, bit %d", at, bit), b)
		}
		for _, n := range []int{2, 4, 20} {
			b := bytes.Clone(whole)
			clear(b[at:min(at+n, len(b))])
			if !bytes.Equal(b, whole) {
				check(fmt.Sprintf("%d zeros from %d", n, at), b)
			}
		}
		boundary := slices.ContainsFunc([]int{0, 1, 2, 3}, func(n int) bool { return at == len(fileOf(t, d, keys[:n]...)) })
		if !boundary {
			check(fmt.Sprintf("%d bytes", at), whole[:at])
		}
		check(fmt.Sprintf("zeros after %d", at), append(bytes.Clone(whole[:at]), make([]byte, 100)...))
	}
	first, second := len(fileOf(t, d, keys[:1]...)), len(fileOf(t, d, keys[:2]...))
	check("a record left out", append(bytes.Clone(whole[:records]), whole[first:]...))
	check("a record twice", append(bytes.Clone(whole[:second]), whole[first:]...))
	check("another version", append([]byte(magic+"\x02"), whole[9:]...))
	d.boot++
	check("another boot", whole)
}

// TestDamagedWhileOpen changes a file that a process has open.
func TestDamagedWhileOpen(t *testing.T) {
	d := newDisk()
	m := opened(t, d, fileOf(t, d, "one", "two"))
	i := d.now[fileName("m")]
	i.now[len(i.now)-1] ^= 1
	if _, _, err := readAll(m, Position{}); !errors.Is(err, ErrCut) {
		t.Errorf("got %v; want %v", err, ErrCut)
	}
}

// TestUnreadable reads files of another member, without a boot ID, or marked as cut.
func TestUnreadable(t *testing.T) {
	d := newDisk()
	for _, h := range []header{{boot: d.process().Boot(), member: "other"}, {member: "m"},
		{boot: d.process().Boot(), member: "m", cut: true}} {
		h.begun = 1e18
		if cut, why := opened(t, d, h.appendTo(nil)).Cut(); !cut {
			t.Errorf("%+v: not cut", h)
		} else if why == "" {
			t.Errorf("%+v: no reason", h)
		}
	}
}

// FuzzFile opens any bytes: the journal is cut, or its entries encode to the same bytes.
func FuzzFile(f *testing.F) {
	d := newDisk()
	f.Add(fileOf(f, d, "one", "two", "one"))
	f.Add(fileOf(f, d))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDisk()
		m := opened(t, d, b)
		if cut, _ := m.Cut(); cut {
			return
		}
		h, err := parseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		again, sum := h.appendTo(nil), h.sum()
		for batch := (Batch{}); ; {
			if err := m.Read(batch.Next, &batch); err != nil {
				t.Fatal(err)
			}
			if len(batch.Entries) == 0 {
				break
			}
			for _, e := range batch.Entries {
				again, sum = appendRecord(again, e.Key, e.At.UnixNano(), sum)
			}
		}
		if !bytes.Equal(again, b) {
			t.Errorf("got %q; want %q", again, b)
		}
	})
}

// FuzzRecords parses any bytes: the entries before an error encode to the same bytes.
func FuzzRecords(f *testing.F) {
	b, sum := appendRecord(nil, []byte("one"), 1, 7)
	b, _ = appendRecord(b, []byte("two"), 2, sum)
	f.Add(b, uint32(7))
	f.Add(b[:len(b)-1], uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, sum uint32) {
		c := cursor{0, sum}
		entries, err := c.parse(nil, b)
		if (err == nil) && len(entries) == 0 {
			t.Error("neither entries nor an error")
		}
		var again []byte
		for _, e := range entries {
			again, sum = appendRecord(again, e.Key, e.At.UnixNano(), sum)
		}
		if c.offset != int64(len(again)) || c.sum != sum || !bytes.HasPrefix(b, again) {
			t.Errorf("got %q up to %d; want the beginning of %q", again, c.offset, b)
		}
	})
}
