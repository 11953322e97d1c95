package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// A Source returns the requests of a trace in order.
type Source interface {
	// Next returns the next request, io.EOF after the last one, or the trace's fault with its place.
	// The request's Key is valid until the next call.
	Next() (Request, error)
}

// A Request is one get of a trace.
type Request struct {
	Key        []byte        // 1 to 250 bytes that memcached accepts as a key
	ValueBytes int           // the size of the value, -1 if it is unknown
	TTL        time.Duration // 0 for none, -1 if it is unknown
	At         time.Duration // since the trace's first request; if HasTime
	HasTime    bool
}

// A Skip counts the lines of a trace that were skipped for one reason.
type Skip struct {
	Reason string `json:"reason"`
	Lines  int64  `json:"lines"`
}

// A Trace is a Source that Open has opened.
type Trace struct {
	name    string
	format  Format
	decoder Source
	skips   *skips

	given   atomic.Int64 // requests
	total   int64        // requests of a generated load; bytes of a file; 0 if unknown
	file    *counter     // nil for a generated load
	closers []io.Closer  // in the order to close
}

// Open opens the trace in the file called name, or on o.Stdin if that is "-"; with FormatZipf it
// generates a load, and name only names it. Errors name the file and the reason.
func Open(name string, o Options) (*Trace, error) {
	if err := o.checkSource(); err != nil {
		return nil, err
	}
	t := &Trace{name: name, format: o.Format, skips: &skips{}}
	if o.Format == FormatZipf {
		t.decoder, t.total = newZipf(o.Zipf, newKeyer(o.KeyBytes)), o.Zipf.Requests
		return t, nil
	}
	if err := t.open(o); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Trace) open(o Options) error {
	raw, err := t.openFile(o.Stdin)
	if err != nil {
		return err
	}
	t.file = &counter{r: raw}
	plain, closer, err := decompress(t.file)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if closer != nil {
		t.closers = append([]io.Closer{closer}, t.closers...)
	}
	r := bufio.NewReaderSize(plain, maxLineBytes)
	if t.format == "" {
		if t.format, err = detect(r, t.name); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	t.decoder, err = newDecoder(t.name, t.format, r, newKeyer(o.KeyBytes), t.skips)
	return err
}

func (t *Trace) openFile(stdin io.Reader) (io.Reader, error) {
	if t.name == "-" {
		t.name = "standard input"
		if stdin == nil {
			return nil, fmt.Errorf("%s: not given", t.name)
		}
		return stdin, nil
	}
	f, err := os.Open(t.name)
	if err != nil {
		return nil, err
	}
	t.closers = append(t.closers, f)
	if s, err := f.Stat(); err == nil && s.Mode().IsRegular() {
		t.total = s.Size()
	}
	return f, nil
}

// Next implements Source.
func (t *Trace) Next() (Request, error) {
	r, err := t.decoder.Next()
	if err == nil {
		t.given.Add(1)
		return r, nil
	}
	if err == io.EOF && t.given.Load() == 0 {
		return r, fmt.Errorf("%s: no request in it%s", t.name, t.skips.why())
	}
	return r, err
}

// Name returns the trace's name in reports, which is the file's.
func (t *Trace) Name() string { return t.name }

// Format returns the format that the trace is read in.
func (t *Trace) Format() Format { return t.format }

// Skips returns the lines that were skipped so far, by reason.
func (t *Trace) Skips() []Skip { return t.skips.list }

// Done returns the share of the trace that has been read, in [0, 1], or -1 if its length is
// unknown. It may be called by any goroutine.
func (t *Trace) Done() float64 {
	if t.total <= 0 {
		return -1
	}
	if t.file != nil {
		return min(1, float64(t.file.n.Load())/float64(t.total))
	}
	return float64(t.given.Load()) / float64(t.total)
}

// Close closes the file. Standard input stays open.
func (t *Trace) Close() error {
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c.Close())
	}
	t.closers = nil
	return errors.Join(errs...)
}

// newDecoder returns the reader of the format.
func newDecoder(name string, format Format, r *bufio.Reader, k *keyer, s *skips) (Source, error) {
	switch format {
	case FormatLog:
		return &accessLog{lines: lines{name: name, r: r}, keyer: k, skips: s}, nil
	case FormatCSV:
		return newCSV(lines{name: name, r: r}, k, s)
	case FormatARC:
		return &arc{lines: lines{name: name, r: r}, keyer: k}, nil
	case FormatBE32:
		return &integers{name: name, r: r, keyer: k, width: 4}, nil
	case FormatBE64:
		return &integers{name: name, r: r, keyer: k, width: 8}, nil
	case FormatOracle:
		return &oracle{name: name, r: r, keyer: k}, nil
	}
	return nil, fmt.Errorf("%s: format %q can't be read from a file", name, format)
}

// counter counts the bytes that are read from a file, for progress.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// maxSkipReasons bounds the memory for the reasons of a trace that names many operations.
const maxSkipReasons = 16

// skips counts skipped lines by reason, in the order of the reasons' first lines.
type skips struct {
	list  []Skip
	first int64 // line number of the first skipped line
}

func (s *skips) add(line int64, reason string) {
	if s.first == 0 {
		s.first = line
	}
	for i := range s.list {
		if s.list[i].Reason == reason {
			s.list[i].Lines++
			return
		}
	}
	if len(s.list) >= maxSkipReasons {
		const others = "other reasons"
		if s.list[len(s.list)-1].Reason == others {
			s.list[len(s.list)-1].Lines++
			return
		}
		reason = others
	}
	s.list = append(s.list, Skip{Reason: reason, Lines: 1})
}

// why returns the reason that a trace has no requests, as the end of an error's text.
func (s *skips) why() string {
	if len(s.list) == 0 {
		return ""
	}
	return fmt.Sprintf(": line %d is skipped (%s), and so are all others", s.first, s.list[0].Reason)
}
