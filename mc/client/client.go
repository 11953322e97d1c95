// Package client is a client of memcached's text protocol for one server over one connection.
// Requests are buffered and sent together, and their answers are read in the order of the requests.
// It is for programs that send requests to a few servers and wait, such as tools and the router's
// probes; the router's other traffic uses its event loops.
//
//	c, err := client.Dial(ctx, "cache.example.org", time.Second)
//	c.SetDeadline(time.Now().Add(time.Second))
//	c.Add(&mc.Request{Op: mc.Get, Key: key, Last: true})
//	err = c.Flush()
//	answer, err := c.ReadGet(key, maxBytes)
//
// A Conn is used by one goroutine at a time, except that any goroutine may call Close and
// SetDeadline. A refusal by the server is an answer, not an error. The errors of a Conn are
// ErrClosed, ErrTimeout, *UnexpectedError for a line that is not an answer to the request, and
// those of package net. After an error nothing more can be read, since it is unknown where the next
// answer begins.
package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"holdfast/mc"
)

// Limits of a connection.
const (
	MaxLineBytes = 4 << 10 // of an answer's line, its end not counted

	bufferBytes    = 64 << 10 // of each direction
	maxQuotedBytes = 100      // of a line, in an UnexpectedError
	defaultPort    = "11211"
)

// Why a connection ended.
var (
	ErrClosed  = errors.New("the server closed the connection")
	ErrTimeout = errors.New("no answer in time")
)

// An UnexpectedError is about a line that is not an answer to the request.
type UnexpectedError struct {
	Request string // the command
	Detail  string // what is wrong, such as ", after the value"; often empty
	Line    string // the line's first bytes
	Endless bool   // the line is longer than MaxLineBytes
}

func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("unexpected answer to a %s%s: %q", e.Request, e.Detail, e.Line)
}

// Unexpected returns an UnexpectedError about the line.
func Unexpected(request string, line []byte) *UnexpectedError {
	return &UnexpectedError{Request: request, Line: string(line[:min(len(line), maxQuotedBytes)])}
}

// Address returns the server's address for Dial, with memcached's port if the server is only a
// host.
func Address(server string) string {
	if isSocket(server) {
		return server
	}
	if _, _, err := net.SplitHostPort(server); err != nil {
		return net.JoinHostPort(strings.Trim(server, "[]"), defaultPort)
	}
	return server
}

// isSocket reports whether the server is the path of a Unix socket.
func isSocket(server string) bool { return strings.Contains(server, "/") }

// A Conn is a connection to one server.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

// Dial connects to host:port, to host on memcached's port, or to a Unix socket's path. Its error
// doesn't repeat the server.
func Dial(ctx context.Context, server string, timeout time.Duration) (*Conn, error) {
	network := "tcp"
	if isSocket(server) {
		network = "unix"
	}
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, Address(server))
	if err != nil {
		return nil, cause(err)
	}
	return New(conn), nil
}

// New returns a Conn over an existing connection, which Close closes.
func New(conn net.Conn) *Conn {
	return &Conn{
		conn: conn,
		in:   bufio.NewReaderSize(conn, bufferBytes),
		out:  bufio.NewWriterSize(conn, bufferBytes),
	}
}

// Close closes the connection. Calls that wait for it return an error.
func (c *Conn) Close() error { return c.conn.Close() }

// SetDeadline sets the time after which sending and reading fail with ErrTimeout.
func (c *Conn) SetDeadline(t time.Time) { c.conn.SetDeadline(t) } // fails if closed, which Read reports

// Add buffers a request. Flush reports write errors.
func (c *Conn) Add(r *mc.Request) {
	c.out.Write(mc.AppendRequest(c.out.AvailableBuffer(), r))
}

// Write buffers bytes of a request that Add can't print, or that is too large to be held in memory.
// It never returns an error; Flush does.
func (c *Conn) Write(p []byte) (int, error) {
	c.out.Write(p)
	return len(p), nil
}

// Flush sends the buffered requests.
func (c *Conn) Flush() error {
	err := c.out.Flush()
	if err == nil {
		return nil
	}
	// The server may have sent the reason for closing the connection, as memcached does if it has too
	// many.
	if line, readErr := c.ReadLine(); readErr == nil {
		return Unexpected("request", line)
	}
	return failure(err)
}

// ReadLine returns the next line without its end. It is valid until the next read.
func (c *Conn) ReadLine() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		return nil, failure(err)
	}
	if len(line) > MaxLineBytes+len(mc.CRLF) || err != nil {
		e := Unexpected("request", line)
		e.Endless = true
		return nil, e
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// Read returns the first line of an answer, valid until the next read. request is the command, for
// errors.
func (c *Conn) Read(request string) (a mc.Answer, err error) {
	line, err := c.ReadLine()
	if err != nil {
		return a, err
	}
	if !a.ParseLine(line) {
		return a, Unexpected(request, line)
	}
	return a, nil
}

// ReadGet returns the answer to a get of one key. Its kind is AnswerValue, AnswerEnd or an error. A
// value of up to keepBytes is returned, too; a longer one is skipped, and value is nil. The value
// belongs to the caller; the rest of the answer is valid until the next read.
func (c *Conn) ReadGet(key []byte, keepBytes int) (a mc.Answer, value []byte, err error) {
	line, err := c.ReadLine()
	if err != nil {
		return a, nil, err
	}
	ok := a.ParseLine(line)
	switch {
	case ok && (a.Kind == mc.AnswerEnd || a.Kind.IsError()):
		return a, nil, nil
	case !ok || a.Kind != mc.AnswerValue:
		return a, nil, Unexpected("get", line)
	case !bytes.Equal(a.Key, key):
		return a, nil, unexpectedGet(", for another key", line)
	}
	a.Key = key // the line is valid only until the next read
	if a.ValueBytes <= keepBytes {
		value = make([]byte, a.ValueBytes)
		_, err = io.ReadFull(c.in, value)
	} else {
		_, err = c.in.Discard(a.ValueBytes)
	}
	if err != nil {
		return a, nil, failure(err)
	}
	for _, want := range []string{"", mc.AnswerEnd.String()} {
		line, err := c.ReadLine()
		if err != nil {
			return a, nil, err
		}
		if string(line) != want {
			return a, nil, unexpectedGet(", after the value", line)
		}
	}
	return a, value, nil
}

func unexpectedGet(detail string, line []byte) error {
	e := Unexpected("get", line)
	e.Detail = detail
	return e
}

// failure converts an error of the connection to the package's errors.
func failure(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ErrClosed
	}
	return cause(err)
}

// cause removes net's "dial tcp 127.0.0.1:1:", which repeats the server.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
