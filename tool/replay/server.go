package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"holdfast/mc"
	"holdfast/mc/client"
)

// A server is one connection to the server that a trace is played against. The caller adds as many
// requests as it wants in flight, flushes, and reads an answer for each. Every error ends the
// connection and names the server; a refusal by the server is not an error.
type server struct {
	address string
	conn    *client.Conn
	timeout time.Duration
	line    []byte // scratch memory of addSet
}

// dial connects to host:port, to host on memcached's port, or to a Unix socket's path.
func dial(ctx context.Context, address string, timeout time.Duration) (*server, error) {
	conn, err := client.Dial(ctx, address, timeout)
	if err != nil {
		return nil, fmt.Errorf("can't connect to server %s: %w", address, err)
	}
	return &server{address: address, conn: conn, timeout: timeout}, nil
}

func (s *server) close() { s.conn.Close() }

// begin sets the deadline of the next requests and their answers.
func (s *server) begin() { s.conn.SetDeadline(time.Now().Add(s.timeout)) }

func (s *server) addGet(key []byte) { s.conn.Add(&mc.Request{Op: mc.Get, Key: key, Last: true}) }

// addSet adds a set of a value of valueBytes, which is never held in memory; exptime is as on the
// wire.
func (s *server) addSet(key []byte, valueBytes int, exptime int64) {
	line := append(append(append(s.line[:0], "set "...), key...), " 0 "...)
	line = append(strconv.AppendInt(line, exptime, 10), ' ')
	s.line = append(strconv.AppendInt(line, int64(valueBytes), 10), mc.CRLF...)
	s.conn.Write(s.line)
	for valueBytes > 0 {
		n := min(valueBytes, len(filler))
		s.conn.Write(filler[:n])
		valueBytes -= n
	}
	s.conn.Write([]byte(mc.CRLF))
}

// filler is what values are made of.
var filler = bytes.Repeat([]byte("look-aside value "), 1024)

func (s *server) flush() error { return s.explain(s.conn.Flush()) }

// A getAnswer is what a server answered to a get.
type getAnswer struct {
	hit        bool
	valueBytes int64
	refusal    string // SERVER_ERROR and its reason; "" otherwise
}

func (s *server) readGet(key []byte) (getAnswer, error) {
	const keepBytes = -1 // the value is skipped
	a, _, err := s.conn.ReadGet(key, keepBytes)
	switch {
	case err != nil:
		return getAnswer{}, s.explain(err)
	case a.Kind == mc.AnswerValue:
		return getAnswer{hit: true, valueBytes: int64(a.ValueBytes)}, nil
	case a.Kind == mc.AnswerEnd:
		return getAnswer{}, nil
	case a.Kind == mc.AnswerServerError:
		return getAnswer{refusal: a.Text()}, nil
	}
	return getAnswer{}, s.unexpected("get", a.Text())
}

// readSet returns how the server refused the set, "" if it didn't. Any other answer is an error,
// since the server might read the value as commands.
func (s *server) readSet() (refusal string, err error) {
	a, err := s.conn.Read("set")
	switch {
	case err != nil:
		return "", s.explain(err)
	case a.Kind == mc.AnswerStored:
		return "", nil
	case a.Kind == mc.AnswerNotStored, a.Kind == mc.AnswerServerError:
		return a.Text(), nil
	}
	return "", s.unexpected("set", a.Text())
}

// command sends a line and returns the first line of the answer.
func (s *server) command(line string) (string, error) {
	s.begin()
	s.conn.Write([]byte(line + mc.CRLF))
	if err := s.flush(); err != nil {
		return "", err
	}
	answer, err := s.conn.ReadLine()
	return string(answer), s.explain(err)
}

// maxStats bounds the lines of a server's statistics.
const maxStats = 10000

// stats returns the server's statistics by name, none if it keeps none, as proxies do.
func (s *server) stats() (map[string]string, error) {
	s.begin()
	s.conn.Add(&mc.Request{Op: mc.Stats})
	if err := s.flush(); err != nil {
		return nil, err
	}
	stats := map[string]string{}
	for {
		line, err := s.conn.ReadLine()
		if err != nil {
			return nil, s.explain(err)
		}
		var a mc.Answer
		if a.ParseLine(line); a.Kind != mc.AnswerStat || len(stats) == maxStats {
			return stats, nil
		}
		stats[string(a.Key)] = string(a.Args)
	}
}

// unexpected returns the error for a line that is no answer to such a request.
func (s *server) unexpected(request, line string) error {
	return s.explain(client.Unexpected(request, []byte(line)))
}

// explain adds the server to an error of the connection.
func (s *server) explain(err error) error {
	unexpected, ok := errors.AsType[*client.UnexpectedError](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return fmt.Errorf("server %s: %w", s.address, unexpected)
	case errors.Is(err, client.ErrTimeout):
		return fmt.Errorf("server %s: no answer within %v", s.address, s.timeout)
	case errors.Is(err, client.ErrClosed):
		return fmt.Errorf("server %s went away: it closed the connection", s.address)
	}
	return fmt.Errorf("server %s went away: %w", s.address, err)
}
