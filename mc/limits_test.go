package mc

import (
	"fmt"
	"strings"
	"testing"
)

func TestDecodeAdminIsAlone(t *testing.T) {
	var d Decoder
	b := NewBatch(func(*Batch) {})
	in := []byte("mn\r\nmn\r\nversion\r\nquit\r\nmn\r\n")
	for _, want := range []string{"mn; mn", "version", "quit", "mn"} {
		used, err := d.Decode(in, b)
		if got := showAll(b.Requests); err != nil || got != want {
			t.Fatalf("got %s, %v; want %s", got, err, want)
		}
		if want != "mn" {
			if more, _ := d.Decode(in[used:], b); more != 0 {
				t.Errorf("used %d bytes more for a batch with %s; want 0", more, want)
			}
		}
		b.Reset()
		in = in[used:]
	}
}

func TestDecodeErrors(t *testing.T) {
	long := strings.Repeat("k ", maxOtherLineBytes/2)
	for _, c := range []struct {
		in   string
		want error
		used int
	}{
		{"\x80abc", ErrBinary, 0},
		{"mn\r\n\x80abc\r\n", nil, 10},
		{"mn\r\nGET / HTTP/1.0\r\n", ErrHTTP, 4},
		{"DELETE HTTP/1.1\r\n", ErrHTTP, 0},
		{"mn\r\nincr " + long, ErrLineTooLong, 4},
		{"incr " + long + "\r\n", ErrLineTooLong, 0},
		{strings.Repeat("x", maxOtherLineBytes+1), ErrLineTooLong, 0},
		{strings.Repeat("x", maxOtherLineBytes), nil, 0},
		{"mg " + long, ErrLineTooLong, 0},
		{"get " + long, nil, 0},
		{"gats 0 " + long, nil, 0},
		{"get " + strings.Repeat("k ", MaxLineBytes/2-2), nil, 0},
		{"get " + strings.Repeat("k ", MaxLineBytes/2), ErrLineTooLong, 0},
	} {
		var d Decoder
		used, err := d.Decode([]byte(c.in), NewBatch(nil))
		if err != c.want || used != c.used {
			t.Errorf("%.40q: got %d, %v; want %d, %v", c.in, used, err, c.used, c.want)
		}
	}
}

func TestDecodeManyKeys(t *testing.T) {
	const keys = 2*MaxRequests + 7
	var line strings.Builder
	line.WriteString("gat 5")
	for i := range keys {
		fmt.Fprintf(&line, " key%d", i)
	}
	for _, limit := range []int{0, 1, 20, MaxRequests + 1} {
		f := newFeeder(Decoder{MaxRequests: limit})
		if err := f.feed([]byte(line.String() + " \r\nmn\r\n")); err != nil {
			t.Fatal(err)
		}
		if len(f.got) != keys+1 || f.got[keys].Op != MetaNoop {
			t.Fatalf("limit %d: got %d requests; want %d", limit, len(f.got), keys+1)
		}
		for i, r := range f.got[:keys] {
			if string(r.Key) != fmt.Sprint("key", i) || r.Last != (i == keys-1) || r.Exptime != 5 || r.Op != Gat {
				t.Fatalf("limit %d: request %d is %s", limit, i, show(&r))
			}
		}
		size := limit
		if size == 0 || size > MaxRequests {
			size = MaxRequests
		}
		if want := (keys + 1 + size - 1) / size; f.batches != want {
			t.Errorf("limit %d: got %d batches; want %d", limit, f.batches, want)
		}
	}

	f := newFeeder(Decoder{})
	if err := f.feed([]byte("mn\r\n" + line.String() + " " + longKey + "\r\nmn\r\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := showAll(f.got), "mn; "+badLine+"; mn"; got != want {
		t.Errorf("a bad key at the end of a long line:\n got %s\nwant %s", got, want)
	}
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		in   string
		need int
	}{
		{"get a", 0},
		{"set k 0 0 1000", 0},
		{"mn\r\nset k 0 0 1000\r\nab", 16 + 1002},
		{"ms k 5 b T\r\n", 0}, // refused: the block is skipped
		{"ms k 5\r\nabcde", 8 + 7},
		{"ms k 5\r\nabcde\r\n", 0},
		{"set k 0 0 2000000\r\nab", 0}, // skipped as it arrives
	} {
		var d Decoder
		if _, err := d.Decode([]byte(c.in), NewBatch(nil)); err != nil {
			t.Fatal(err)
		}
		if got := d.Need(); got != c.need {
			t.Errorf("%q: need %d; want %d", c.in, got, c.need)
		}
	}
}

// The batch reuses its requests: nothing of an earlier request may remain.
func TestDecodeResetsRequests(t *testing.T) {
	d := Decoder{ItemMaxBytes: 100}
	b := NewBatch(nil)
	const rich = "ms a2V5 2 b q F1 T2 N3 R4 C5 E6 J7 D8 MA\r\nab\r\n"
	for _, in := range []string{"mn\r\n", "get a\r\n", "delete k\r\n", "xx k\r\n", "ma k x x\r\n", "quit\r\n"} {
		var fresh Decoder
		want := NewBatch(nil)
		if _, err := fresh.Decode([]byte(in), want); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if used, err := d.Decode([]byte(rich), b); used != len(rich) || err != nil {
			t.Fatal(used, err)
		}
		b.Requests[0].Hash, b.Requests[0].Last, b.Requests[0].HasExptime = 1, true, true
		b.Reset()
		if _, err := d.Decode([]byte(in), b); err != nil {
			t.Fatal(err)
		}
		if got := showAll(b.Requests); got != showAll(want.Requests) || b.Requests[0].Flags != want.Requests[0].Flags {
			t.Errorf("%q after another: got %s; want %s", in, got, showAll(want.Requests))
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	in := []byte("get a b c\r\nset k 0 0 3\r\nabc\r\nmg k v t Oabc\r\nms a2V5 1 b\r\na\r\nma k D5\r\n" +
		"incr k 5\r\ntouch k 9\r\ndelete k noreply\r\nbogus\r\nset k 0 0 x\r\n")
	work := make([]byte, len(in))
	var d Decoder
	b := NewBatch(nil)
	decode := func() {
		copy(work, in)
		b.Reset()
		if used, err := d.Decode(work, b); used != len(in) || err != nil {
			t.Fatal(used, err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("got %v allocations per batch; want 0", n)
	}
}
