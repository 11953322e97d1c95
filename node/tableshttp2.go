package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"time"
)

// A preface recognizes clients that start with HTTP/2 without negotiation, by their first bytes
// (RFC 9113, section 3.4). They could not read a response in HTTP/1.1.
type preface struct {
	done bool // it is HTTP/1.1, or has been refused
	n    int  // bytes so far that are the beginning of HTTP/2's
}

// What an HTTP/2 client sends first; http2Begin is enough to recognize it.
const (
	http2Begin = "PRI * HTTP/2.0\r\n"
	http2Rest  = "\r\nSM\r\n\r\n"
)

// Of HTTP/2's frames: RFC 9113, sections 4.1, 6 and 7.
const (
	frameHeader     = 9
	frameHeaders    = 1
	frameReset      = 3
	frameSettings   = 4
	frameGoAway     = 7
	http11Required  = 13
	maxRefusedBytes = 64 << 10        // that a client may send before it reads the refusal
	refuseWait      = 2 * time.Second // likewise
)

// Read implements net.Conn.
func (c *tablesConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.preface.done || n == 0 {
		return n, err
	}
	begun := p[:n]
	rest := http2Begin[c.preface.n:]
	same := min(len(begun), len(rest))
	if string(begun[:same]) != rest[:same] {
		c.preface.done = true
		return n, err
	}
	if c.preface.n += same; c.preface.n < len(http2Begin) {
		return n, err
	}
	c.preface.done = true
	c.refuseHTTP2(begun[same:])
	_ = c.Close() // so that fasthttp can't send a response to what it has read
	return 0, io.EOF
}

// refuseHTTP2 answers an HTTP/2 client, in HTTP/2 frames, that HTTP/1.1 is required: for each
// request, so that the client may retry it in HTTP/1.1, as curl does, and at the end for the
// connection. begun holds the bytes after http2Begin that have been read already.
func (c *tablesConn) refuseHTTP2(begun []byte) {
	if c.SetDeadline(time.Now().Add(refuseWait)) != nil {
		return
	}
	if _, err := c.Write(appendFrame(nil, frameSettings, 0, nil)); err != nil {
		return
	}
	in := bufio.NewReader(io.LimitReader(io.MultiReader(bytes.NewReader(begun), c.Conn), maxRefusedBytes))
	reason := binary.BigEndian.AppendUint32(nil, http11Required)
	last := uint32(0)
	if _, err := in.Discard(len(http2Rest)); err != nil {
		return
	}
	for {
		kind, stream, err := nextFrame(in)
		if err != nil {
			break
		}
		if kind != frameHeaders {
			continue
		}
		last = stream
		if _, err := c.Write(appendFrame(nil, frameReset, stream, reason)); err != nil {
			return
		}
	}
	if c.SetDeadline(time.Now().Add(refuseWait)) == nil {
		_, _ = c.Write(appendFrame(nil, frameGoAway, 0, append(binary.BigEndian.AppendUint32(nil, last), reason...)))
	}
}

// nextFrame reads a frame, and returns its kind and its stream.
func nextFrame(in *bufio.Reader) (kind byte, stream uint32, err error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, 0, err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	_, err = in.Discard(length)
	return head[3], binary.BigEndian.Uint32(head[5:]) &^ (1 << 31), err
}

// appendFrame adds a frame without flags.
func appendFrame(b []byte, kind byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), kind, 0)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}
