package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	defaultPort    = "11211"
	maxAnswerBytes = 4 << 10 // a line of an answer; values aren't lines
	clientBuffer   = 64 << 10
)

// client is one connection to a memcached server, speaking as much of the text protocol
// (memcached's doc/protocol.txt) as a replay needs. The caller writes as many requests as it
// likes to have in flight, flushes, and reads an answer for each. Every error is the end of the
// connection and names the server; a refusal by the server is not an error.
type client struct {
	server  string
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	timeout time.Duration
}

// dial connects to host:port, to host on memcached's port, or to a Unix socket's path.
func dial(ctx context.Context, server string, timeout time.Duration) (*client, error) {
	network, address := "tcp", server
	if strings.Contains(server, "/") {
		network = "unix"
	} else if _, _, err := net.SplitHostPort(server); err != nil {
		address = net.JoinHostPort(strings.Trim(server, "[]"), defaultPort)
	}
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("can't connect to server %s: %w", server, cause(err))
	}
	return &client{
		server:  server,
		conn:    conn,
		r:       bufio.NewReaderSize(conn, clientBuffer),
		w:       bufio.NewWriterSize(conn, clientBuffer),
		timeout: timeout,
	}, nil
}

func (c *client) close() { c.conn.Close() }

// begin gives the next requests and their answers the timeout.
func (c *client) begin() { c.conn.SetDeadline(time.Now().Add(c.timeout)) }

// writeGet and writeSet buffer a request; a failure to write shows at flush.
func (c *client) writeGet(key []byte) {
	c.w.WriteString("get ")
	c.w.Write(key)
	c.w.WriteString("\r\n")
}

// writeSet stores a value of valueBytes bytes; exptime is as on the wire.
func (c *client) writeSet(key []byte, valueBytes int, exptime int64) {
	line := append(c.w.AvailableBuffer(), "set "...)
	line = append(append(line, key...), " 0 "...)
	line = append(strconv.AppendInt(line, exptime, 10), ' ')
	line = append(strconv.AppendInt(line, int64(valueBytes), 10), "\r\n"...)
	c.w.Write(line)
	for valueBytes > 0 {
		n := min(valueBytes, len(filler))
		c.w.Write(filler[:n])
		valueBytes -= n
	}
	c.w.WriteString("\r\n")
}

// filler is what values are made of.
var filler = bytes.Repeat([]byte("look-aside value "), 1024)

func (c *client) flush() error {
	if err := c.w.Flush(); err != nil {
		// The server may have said why it closes the connection: memcached does where it has too many.
		if line, readErr := c.readLine(); readErr == nil {
			return c.unexpected("request", line)
		}
		return c.failed(err)
	}
	return nil
}

// getAnswer is what a server says to a get.
type getAnswer struct {
	hit        bool
	valueBytes int64
	refusal    string // SERVER_ERROR and why; empty else
}

func (c *client) readGet(key []byte) (a getAnswer, err error) {
	line, err := c.readLine()
	if err != nil {
		return a, err
	}
	if string(line) == "END" {
		return a, nil
	}
	if bytes.HasPrefix(line, []byte("SERVER_ERROR")) {
		return getAnswer{refusal: string(line)}, nil
	}
	rest, ok := bytes.CutPrefix(line, []byte("VALUE "))
	if !ok {
		return a, c.unexpected("get", line)
	}
	// rest is "key flags bytes" or "key flags bytes cas".
	rest, ok = bytes.CutPrefix(rest, key)
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 2 || len(rest) == 0 || rest[0] != ' ' {
		return a, c.unexpected("get of another key", line)
	}
	n, err := strconv.ParseUint(string(fields[1]), 10, 31)
	if err != nil {
		return a, c.unexpected("get", line)
	}
	return getAnswer{hit: true, valueBytes: int64(n)}, c.skipValue(int(n))
}

// skipValue reads a value of n bytes and the end of a get's answer.
func (c *client) skipValue(n int) error {
	if _, err := c.r.Discard(n); err != nil {
		return c.failed(err)
	}
	for _, want := range []string{"", "END"} {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if string(line) != want {
			return c.unexpected("get, after the value", line)
		}
	}
	return nil
}

// readSet returns how the server refused the set, empty if it didn't. An answer that leaves it
// open whether the server takes the value for commands is an error.
func (c *client) readSet() (refusal string, err error) {
	line, err := c.readLine()
	if err != nil {
		return "", err
	}
	switch {
	case string(line) == "STORED":
		return "", nil
	case string(line) == "NOT_STORED", bytes.HasPrefix(line, []byte("SERVER_ERROR")):
		return string(line), nil
	}
	return "", c.unexpected("set", line)
}

// command sends a line and returns the one-line answer.
func (c *client) command(line string) (string, error) {
	c.begin()
	c.w.WriteString(line + "\r\n")
	if err := c.flush(); err != nil {
		return "", err
	}
	answer, err := c.readLine()
	return string(answer), err
}

// maxStats bounds the lines of a server's statistics.
const maxStats = 10000

// stats returns the server's statistics by name, none if it keeps none, as proxies do.
func (c *client) stats() (map[string]string, error) {
	line, err := c.command("stats")
	stats := map[string]string{}
	for ; err == nil; line, err = c.line() {
		rest, ok := strings.CutPrefix(line, "STAT ")
		if !ok || len(stats) == maxStats {
			return stats, nil
		}
		name, value, _ := strings.Cut(rest, " ")
		stats[name] = value
	}
	return nil, err
}

func (c *client) line() (string, error) {
	line, err := c.readLine()
	return string(line), err
}

// readLine returns a line without its end, valid until the next read.
func (c *client) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull || len(line) > maxAnswerBytes {
		return nil, c.unexpected("request", line[:maxAnswerBytes])
	}
	if err != nil {
		return nil, c.failed(err)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// unexpected says that line isn't an answer to a request of this kind.
func (c *client) unexpected(request string, line []byte) error {
	return fmt.Errorf("server %s: unexpected answer to a %s: %.100q", c.server, request, line)
}

// failed says what has become of the connection.
func (c *client) failed(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("server %s: no answer within %v", c.server, c.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("server %s went away: it closed the connection", c.server)
	}
	return fmt.Errorf("server %s went away: %w", c.server, cause(err))
}

// cause leaves out net's "dial tcp 127.0.0.1:1:", which repeats the server.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
