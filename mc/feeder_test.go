package mc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A feeder decodes its input as a server does: it keeps the bytes that Decode has left, and empties
// the batch after each call.
type feeder struct {
	d       decoder
	held    []byte
	batch   *Batch
	got     []Request
	batches int
}

// A decoder is a *Decoder or a *BinaryDecoder.
type decoder interface {
	Decode(in []byte, b *Batch) (int, error)
}

func newFeeder(d Decoder) *feeder { return feederOf(&d) }

func feederOf(d decoder) *feeder {
	return &feeder{d: d, batch: NewBatch(func(*Batch) {})}
}

func (f *feeder) feed(in []byte) error {
	f.held = append(bytes.Clone(f.held), in...)
	for {
		used, err := f.d.Decode(f.held, f.batch)
		n := len(f.batch.Requests)
		for i := range f.batch.Requests {
			f.got = append(f.got, keep(&f.batch.Requests[i]))
		}
		if n > 0 {
			f.batches++
		}
		f.batch.Reset()
		f.held = f.held[used:]
		if err != nil || used == 0 && n == 0 {
			return err
		}
	}
}

// keep returns r with copies of what it borrows.
func keep(r *Request) Request {
	c := *r
	c.Key, c.Value, c.Args = bytes.Clone(r.Key), bytes.Clone(r.Value), bytes.Clone(r.Args)
	return c
}

// show returns a request in the form of the tests' tables: its name and the fields that aren't
// zero.
func show(r *Request) string {
	var s strings.Builder
	s.WriteString(r.Op.String())
	text := func(name, v string) {
		if v != "" {
			fmt.Fprintf(&s, " %s=%q", name, v)
		}
	}
	number := func(name string, v any) {
		if t := fmt.Sprint(v); t != "0" && t != "false" {
			fmt.Fprintf(&s, " %s=%s", name, t)
		}
	}
	if r.Op == Invalid {
		fmt.Fprintf(&s, " %q", strings.TrimSuffix(r.Fault, CRLF))
	}
	text("key", string(r.Key))
	text("value", string(r.Value))
	text("args", string(r.Args))
	if r.Mode != 0 {
		text("mode", string(rune(r.Mode)))
	}
	number("noreply", r.NoReply)
	number("last", r.Last)
	number("drop", r.Drop)
	number("delay", r.HasExptime)
	number("flags", r.ClientFlags)
	number("exptime", r.Exptime)
	number("vivify", r.Vivify)
	number("recache", r.Recache)
	number("cas", r.CAS)
	number("newcas", r.NewCAS)
	number("delta", r.Delta)
	number("initial", r.Initial)
	number("hash", r.Hash)
	number("opcode", uint8(r.Opcode))
	number("status", uint8(r.Status))
	number("opaque", r.Opaque)
	return s.String()
}

func showAll(requests []Request) string {
	var s []string
	for i := range requests {
		s = append(s, show(&requests[i]))
	}
	return strings.Join(s, "; ")
}

type decodeCase struct{ in, want string }

var longKey = strings.Repeat("k", MaxKeyBytes+1)

const badDelete = `invalid "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"`

const badLine = `invalid "CLIENT_ERROR bad command line format"`

// checkCases decodes each input whole, byte by byte, and cut in two anywhere.
func checkCases(t *testing.T, d Decoder, cases []decodeCase) {
	t.Helper()
	for _, c := range cases {
		in := []byte(c.in)
		f := newFeeder(d)
		if err := f.feed(in); err != nil {
			t.Errorf("%.80q: %v", c.in, err)
			continue
		}
		if got := showAll(f.got); got != c.want {
			t.Errorf("%.80q:\n got %s\nwant %s", c.in, got, c.want)
		}
		checkSplits(t, d, in, c.want)
	}
}

func checkSplits(t *testing.T, d Decoder, in []byte, want string) {
	t.Helper()
	f := newFeeder(d)
	for i := range in {
		if err := f.feed(in[i : i+1]); err != nil {
			t.Fatalf("%.80q byte by byte: %v", in, err)
		}
	}
	if got := showAll(f.got); got != want {
		t.Errorf("%.80q byte by byte:\n got %s\nwant %s", in, got, want)
	}
	for i := 1; i < len(in); i++ {
		f := newFeeder(d)
		if err := errors.Join(f.feed(in[:i]), f.feed(in[i:])); err != nil {
			t.Fatalf("%.80q cut at %d: %v", in, i, err)
		}
		if got := showAll(f.got); got != want {
			t.Errorf("%.80q cut at %d:\n got %s\nwant %s", in, i, got, want)
		}
	}
}
