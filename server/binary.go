package server

import (
	"bytes"
	"strings"

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

// mechanism is the only one of SASL that is served (RFC 4616). The others that memcached's library
// has need the passwords themselves, too, and hide them no better than TLS does.
const mechanism = "PLAIN"

// speakBinary has c speak the binary protocol from now on.
func (c *conn) speakBinary() {
	o := &c.server.options
	c.binary = &mc.BinaryDecoder{
		ItemMaxBytes: o.ItemMaxBytes, MaxRequests: o.BatchRequests, NoFlush: o.NoFlush,
		SASL: c.server.auth != nil, Locked: !c.authenticated,
	}
	if c.work != nil {
		c.work.batch.Binary = true
	}
}

// decodeBatch has the decoder of c's protocol make the next batch.
func (c *conn) decodeBatch() (used int, err error) {
	if c.binary == nil {
		used, err = c.decoder.Decode(c.input, c.work.batch)
		if err != mc.ErrBinary || c.protocol == Text {
			return used, err
		}
		c.speakBinary()
	}
	return c.binary.Decode(c.input, c.work.batch)
}

// need is how many bytes the request that the input starts with has in all, 0 if that is unknown.
func (c *conn) need() int {
	if c.binary != nil {
		return c.binary.Need()
	}
	return c.decoder.Need()
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
		a.conn.sasl(r)
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

// sasl answers a message of the client's authentication. One that fails takes away what an earlier
// one gave, as in memcached.
func (c *conn) sasl(r *mc.Request) {
	s, b := c.server, c.work.batch
	plain := strings.EqualFold(string(r.Key), mechanism)
	begun := c.saslBegun || r.Op == mc.SASLAuth
	c.saslBegun = false
	if plain && r.Op == mc.SASLAuth && len(r.Value) == 0 {
		c.saslBegun = true
		b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusAuthContinue)
		return
	}
	s.authCommands.Add(1)
	user, password, ok := cutPlain(r.Value)
	known := plain && begun && ok && s.auth.check(user, password)
	c.authenticated, c.binary.Locked = known, !known
	if known {
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOK, "Authenticated")
		return
	}
	s.authErrors.Add(1)
	b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusAuthError)
	if plain {
		c.wrongPassword()
	}
}

// cutPlain takes PLAIN's message apart: whom to act as, NUL, the user, NUL, the password. Nobody
// may act as another user.
func cutPlain(message []byte) (user, password []byte, ok bool) {
	as, rest, _ := bytes.Cut(message, []byte{0})
	user, password, ok = bytes.Cut(rest, []byte{0})
	return user, password, ok && (len(as) == 0 || bytes.Equal(as, user))
}
