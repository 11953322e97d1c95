package topology

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/mc"
)

const (
	pipeline      = 32       // requests in flight on a connection; with their answers they fit in socket buffers
	maxLineBytes  = 4 << 10  // of an answer
	maxValueBytes = 64 << 10 // ours are short; a router that frames them adds little
)

// client speaks to one server over a connection that it makes when it needs one. Connections that
// break are made anew a few times; then, or once one can't be made, err is set and stays.
type client struct {
	server     string
	timeout    time.Duration
	breaks     int // connections that may still break
	operations *atomic.Int64

	conn net.Conn // nil before the first request and after a break
	r    *bufio.Reader
	err  error
}

// An answer is what a server said to one request.
type answer struct {
	found   bool   // get: there; set: stored; delete: deleted
	value   []byte // get
	refusal string // the line that says so, as SERVER_ERROR; empty else
	err     error  // there was no answer, or none of the protocol
}

// ok reports whether the server answered and didn't refuse.
// interruptWait is how long answers to what was sent are waited for when the run is interrupted.
const interruptWait = time.Second

func (a *answer) ok() bool { return a.err == nil && a.refusal == "" }

// ask sends the requests, several at a time, and returns an answer for each. Where a connection
// breaks, the request that waited for its answer has the error, and those after it are sent again:
// all that are sent here may be done twice.
func (c *client) ask(ctx context.Context, requests []mc.Request) []answer {
	answers := make([]answer, len(requests))
	for done := 0; done < len(requests); {
		err := ctx.Err()
		if err == nil {
			err = c.connect(ctx)
		}
		if err != nil {
			for ; done < len(requests); done++ {
				answers[done].err = err
			}
			break
		}
		part := requests[done:min(done+pipeline, len(requests))]
		n, err := c.exchange(ctx, part, answers[done:])
		done += n
		if err != nil {
			answers[done] = answer{err: err}
			done++
			c.broke(ctx, err)
		}
	}
	return answers
}

// connect makes the connection if there is none.
func (c *client) connect(ctx context.Context) error {
	if c.err != nil || c.conn != nil {
		return c.err
	}
	network := "tcp"
	if strings.Contains(c.server, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{Timeout: c.timeout}).DialContext(ctx, network, c.server)
	if err != nil {
		c.err = fmt.Errorf("can't connect: %w", cause(err))
		return c.err
	}
	c.conn, c.r = conn, bufio.NewReaderSize(conn, maxLineBytes)
	return nil
}

// broke gives the connection up after err, and the server too when that was once too often.
func (c *client) broke(ctx context.Context, err error) {
	c.close()
	c.breaks--
	if c.breaks < 0 || ctx.Err() != nil {
		c.err = err
	}
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// exchange writes the requests at once and reads the answers: n of them, all unless there is an error.
func (c *client) exchange(ctx context.Context, requests []mc.Request, answers []answer) (n int, err error) {
	conn := c.conn
	conn.SetDeadline(time.Now().Add(c.timeout))
	// What was sent may still be done when the connection is closed, and a set then comes after the delete that cleans up. So
	// who is interrupted waits for the answers, but not for long.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now().Add(min(c.timeout, interruptWait))) })
	defer stop()
	c.operations.Add(int64(len(requests)))
	if _, err := conn.Write(mc.AppendRequests(nil, requests)); err != nil {
		return 0, c.failed(err)
	}
	for i := range requests {
		if answers[i], err = c.read(&requests[i]); err != nil {
			return i, err
		}
	}
	return len(requests), nil
}

// read reads the answer to r. ERROR refuses a line; after a set it would leave open whether the value
// is going to be taken for another.
func (c *client) read(r *mc.Request) (a answer, err error) {
	line, err := c.readLine()
	if err != nil {
		return a, err
	}
	text := string(line)
	switch {
	case r.Op == mc.Set && text == "STORED", r.Op == mc.Delete && text == "DELETED":
		return answer{found: true}, nil
	case r.Op == mc.Delete && text == "NOT_FOUND", r.Op == mc.Get && text == "END":
		return answer{}, nil
	case r.Op == mc.Set && text == "NOT_STORED", r.Op != mc.Set && text == "ERROR",
		strings.HasPrefix(text, "SERVER_ERROR"), strings.HasPrefix(text, "CLIENT_ERROR"):
		return answer{refusal: text}, nil
	case r.Op == mc.Get && strings.HasPrefix(text, "VALUE "):
		return c.readValue(r, text)
	}
	return a, unexpected(r, text)
}

// readValue reads what follows a line "VALUE key flags bytes", perhaps with a CAS.
func (c *client) readValue(r *mc.Request, line string) (a answer, err error) {
	words := strings.Fields(line)
	if len(words) < 4 || words[1] != string(r.Key) {
		return a, unexpected(r, line)
	}
	n, err := strconv.ParseUint(words[3], 10, 32)
	if err != nil || n > maxValueBytes {
		return a, unexpected(r, line)
	}
	block := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, block); err != nil {
		return a, c.failed(err)
	}
	value, ok := bytes.CutSuffix(block, []byte(mc.CRLF))
	if !ok {
		return a, unexpected(r, string(block))
	}
	end, err := c.readLine()
	if err != nil {
		return a, err
	}
	if string(end) != "END" {
		return a, unexpected(r, string(end))
	}
	return answer{found: true, value: slices.Clip(value)}, nil
}

// readLine returns a line without its end, valid until the next read.
func (c *client) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("answers a line without an end: %.60q", line)
	}
	if err != nil {
		return nil, c.failed(err)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func unexpected(r *mc.Request, line string) error {
	return fmt.Errorf("answers a %s with %.60q", r.Op, line)
}

// failed says what has become of the connection.
func (c *client) failed(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer within %v", c.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("closes the connection")
	}
	return cause(err)
}

// cause leaves out net's "dial tcp 127.0.0.1:1:", which repeats the server.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
