package server

import (
	"bytes"

	"holdfast/mc"
)

// Protocol says which of memcached's protocols clients may speak.
type Protocol uint8

// The protocols.
const (
	// Text is the text protocol alone. A client of the binary protocol gets one answer in that, which
	// says so, and is closed. It is the default, as not every Backend has binary answers.
	Text Protocol = iota + 1
	// Auto lets the first byte of each connection decide. The Backend answers as Batch.Binary says.
	Auto
	// Binary is the binary protocol alone. A connection that begins with anything else is closed.
	Binary
)

// String is memcached's name for p in stats settings.
func (p Protocol) String() string { return [...]string{"", "ascii", "auto-negotiate", "binary"}[p] }

// A dialect is the protocol that a connection speaks, with its decoder.
type dialect struct {
	allowed Protocol          // of the listener
	text    mc.Decoder        // used while binary is nil
	binary  *mc.BinaryDecoder // of a connection that speaks the binary protocol, else nil
}

// newDialect is for a connection to a listener of s; known says that its client needs no SASL.
func newDialect(s *Server, allowed Protocol, known bool) dialect {
	o := &s.options
	d := dialect{allowed: allowed, text: mc.Decoder{
		ItemMaxBytes: o.ItemMaxBytes, MaxRequests: o.BatchRequests, Debug: o.Debug, NoFlush: o.NoFlush,
	}}
	if allowed == Binary {
		d.speakBinary(s, known)
	}
	return d
}

// speakBinary changes to the binary protocol. Until the client is known, its decoder refuses all
// but authentication.
func (d *dialect) speakBinary(s *Server, known bool) {
	o := &s.options
	d.binary = &mc.BinaryDecoder{
		ItemMaxBytes: o.ItemMaxBytes, MaxRequests: o.BatchRequests, NoFlush: o.NoFlush,
		SASL: s.auth != nil, Locked: !known,
	}
}

// decode makes the next batch of the input. A client of the text protocol, which is known
// therefore, may change to the binary one.
func (d *dialect) decode(s *Server, input []byte, b *mc.Batch) (used int, err error) {
	if d.binary == nil {
		used, err = d.text.Decode(input, b)
		if err != mc.ErrBinary || d.allowed == Text {
			return used, err
		}
		d.speakBinary(s, true)
		b.Binary = true
	}
	return d.binary.Decode(input, b)
}

// need is how many bytes the request that the input starts with has in all, 0 if that is unknown.
func (d *dialect) need() int {
	if d.binary != nil {
		return d.binary.Need()
	}
	return d.text.Need()
}

// binary answers a request of the binary protocol.
func (a admin) binary(r *mc.Request) {
	s, b := a.server, a.batch
	switch r.Op {
	case mc.Version:
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOK, s.options.Version)
	case mc.Quit:
		if !r.NoReply {
			b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusOK)
		}
		a.conn.endWith(closeNormal)
	case mc.Verbosity:
		s.verbosity.Store(min(r.Exptime, maxVerbosity))
		b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusOK)
	case mc.Stats:
		a.binaryStats(r)
	case mc.SASLList:
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOK, mechanism)
	case mc.SASLAuth, mc.SASLStep:
		a.conn.login.sasl(r, b, a.conn.dialect.binary)
	default: // mc.Malformed
		b.Out = mc.AppendBinaryStatus(b.Out, r, r.Status)
		a.conn.endWith(closeError)
	}
}

// binaryStats answers stat with what the text protocol has for it: a packet for each line, its name
// for the key, and an empty one at the end.
func (a admin) binaryStats(r *mc.Request) {
	b := a.batch
	out := len(b.Out)
	a.stats(bytes.Fields(r.Key))
	text := bytes.Clone(b.Out[out:])
	b.Out = b.Out[:out]
	if string(r.Key) == "detail dump" && bytes.HasSuffix(text, []byte(mc.End)) { // one packet with all, as in memcached
		b.Out = appendBinaryStat(b.Out, r, []byte("detailed"), text)
		text = []byte(mc.End)
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte(mc.CRLF))
		kind, rest, _ := bytes.Cut(line, []byte{' '})
		switch string(kind) {
		case "STAT":
			name, value, _ := bytes.Cut(rest, []byte{' '})
			b.Out = appendBinaryStat(b.Out, r, name, value)
		case "END", "RESET", "OK":
			b.Out = appendBinaryStat(b.Out, r, nil, nil)
		default:
			b.Out = mc.AppendBinaryStatus(b.Out[:out], r, mc.StatusNotFound)
			return
		}
	}
}

func appendBinaryStat(dst []byte, r *mc.Request, name, value []byte) []byte {
	dst = mc.AppendBinary(dst, r, mc.BinaryAnswer{KeyBytes: len(name), ValueBytes: len(value)})
	return append(append(dst, name...), value...)
}
