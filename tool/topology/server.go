package topology

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/mc"
	"holdfast/mc/client"
)

const (
	pipeline      = 32       // requests in flight on a connection; with their answers they fit in socket buffers
	maxValueBytes = 64 << 10 // ours are short; a router that adds a frame to them adds little

	// interruptWait is how long an interrupted run waits for the answers of requests in flight.
	interruptWait = time.Second
)

// A server is the router or a member, with the connection to it, which is made when it is needed. A
// connection that breaks is replaced a few times; after that, or if no connection can be made, err
// is set and stays.
type server struct {
	address    string
	timeout    time.Duration
	breaks     int // connections that may still break
	operations *atomic.Int64

	conn *client.Conn // nil before the first request and after a break
	err  error
}

// An answer is what a server answered to one request.
type answer struct {
	found   bool   // get: the key is there; set: stored; delete: deleted
	value   []byte // get
	refusal string // the line that refuses the request, such as SERVER_ERROR; "" otherwise
	err     error  // there was no answer, or none of the protocol
}

// ok reports whether the server answered and didn't refuse.
func (a *answer) ok() bool { return a.err == nil && a.refusal == "" }

// ask sends the requests, several at a time, and returns an answer for each. Where a connection
// breaks, the request that waited for its answer has the error, and those after it are sent again:
// a server may execute any request of this package twice.
func (s *server) ask(ctx context.Context, requests []mc.Request) []answer {
	answers := make([]answer, len(requests))
	for done := 0; done < len(requests); {
		err := ctx.Err()
		if err == nil {
			err = s.connect(ctx)
		}
		if err != nil {
			for ; done < len(requests); done++ {
				answers[done].err = err
			}
			break
		}
		part := requests[done:min(done+pipeline, len(requests))]
		n, err := s.exchange(ctx, part, answers[done:])
		done += n
		if err != nil {
			answers[done] = answer{err: err}
			done++
			s.broke(ctx, err)
		}
	}
	return answers
}

// connect makes the connection if there is none.
func (s *server) connect(ctx context.Context) error {
	if s.err != nil || s.conn != nil {
		return s.err
	}
	conn, err := client.Dial(ctx, s.address, s.timeout)
	if err != nil {
		s.err = fmt.Errorf("can't connect: %w", err)
		return s.err
	}
	s.conn = conn
	return nil
}

// broke gives up the connection after err, and the server too if no more connections may break.
func (s *server) broke(ctx context.Context, err error) {
	s.close()
	s.breaks--
	if s.breaks < 0 || ctx.Err() != nil {
		s.err = err
	}
}

func (s *server) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// exchange sends the requests at once and reads the answers: n of them, all unless there is an
// error.
//
// An interrupted run still waits up to interruptWait for the answers: a server may execute requests
// after their connection is closed, and a set would then follow the delete that cleans up.
func (s *server) exchange(ctx context.Context, requests []mc.Request, answers []answer) (n int, err error) {
	conn := s.conn
	conn.SetDeadline(time.Now().Add(s.timeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now().Add(min(s.timeout, interruptWait))) })
	defer stop()
	s.operations.Add(int64(len(requests)))
	for i := range requests {
		conn.Add(&requests[i])
	}
	if err := conn.Flush(); err != nil {
		return 0, s.explain(err)
	}
	for i := range requests {
		if answers[i], err = s.read(&requests[i]); err != nil {
			return i, s.explain(err)
		}
	}
	return len(requests), nil
}

// read reads the answer to r. ERROR refuses a line. After a set it is an error, since the server
// may take the value for further commands.
func (s *server) read(r *mc.Request) (answer, error) {
	var a mc.Answer
	var value []byte
	var err error
	if r.Op == mc.Get {
		a, value, err = s.conn.ReadGet(r.Key, maxValueBytes)
	} else {
		a, err = s.conn.Read(r.Op.String())
	}
	if err != nil {
		return answer{}, err
	}
	switch {
	case r.Op == mc.Get && value != nil:
		return answer{found: true, value: value}, nil
	case r.Op == mc.Set && a.Kind == mc.AnswerStored, r.Op == mc.Delete && a.Kind == mc.AnswerDeleted:
		return answer{found: true}, nil
	case r.Op == mc.Delete && a.Kind == mc.AnswerNotFound, r.Op == mc.Get && a.Kind == mc.AnswerEnd:
		return answer{}, nil
	case r.Op == mc.Set && a.Kind == mc.AnswerNotStored, r.Op != mc.Set && a.Kind == mc.AnswerError && a.Args == nil,
		a.Kind == mc.AnswerServerError, a.Kind == mc.AnswerClientError:
		return answer{refusal: a.Text()}, nil
	case a.Kind == mc.AnswerValue:
		return answer{}, fmt.Errorf("answers a get with a value of %d bytes", a.ValueBytes)
	}
	return answer{}, client.Unexpected(r.Op.String(), []byte(a.Text()))
}

// explain returns err in words that follow the server's address.
func (s *server) explain(err error) error {
	unexpected, ok := errors.AsType[*client.UnexpectedError](err)
	switch {
	case errors.Is(err, client.ErrTimeout):
		return fmt.Errorf("no answer within %v", s.timeout)
	case errors.Is(err, client.ErrClosed):
		return errors.New("closes the connection")
	case ok && unexpected.Endless:
		return fmt.Errorf("answers a line without an end: %.60q", unexpected.Line)
	case ok:
		return fmt.Errorf("answers a %s with %.60q", unexpected.Request, unexpected.Line)
	}
	return err
}
