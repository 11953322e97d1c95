package upstream

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/mc"
	"holdfast/mc/client"
)

// A Side is a connection to an upstream beside those of the lanes, for one request at a time.
type Side struct {
	conn    net.Conn
	client  *client.Conn // over conn
	timeout time.Duration
	stop    func() bool // ends the wait for the end of its context; nil without one
}

func newSide(conn net.Conn, timeout time.Duration) *Side {
	return &Side{conn: conn, client: client.New(conn), timeout: timeout}
}

// Close closes the connection.
func (p *Side) Close() {
	if p.stop != nil {
		p.stop()
	}
	p.conn.Close()
}

// send sends one or several whole requests, whose answers must arrive within the timeout.
func (p *Side) send(requests []byte) error {
	if err := p.conn.SetDeadline(time.Now().Add(p.timeout)); err != nil {
		return err
	}
	p.client.Write(requests)
	return p.client.Flush()
}

// answer reads the next line. Its kind is NoAnswer if it can't be the first line of an answer.
func (p *Side) answer() (a mc.Answer, line []byte, err error) {
	line, err = p.client.ReadLine()
	if err == nil {
		a.ParseLine(line)
	}
	return a, line, err
}

func (p *Side) ask(request string, wants ...mc.AnswerKind) error {
	if err := p.send([]byte(request)); err != nil {
		return err
	}
	return p.expect(wants...)
}

func (p *Side) expect(wants ...mc.AnswerKind) error {
	a, line, err := p.answer()
	if err == nil && !slices.Contains(wants, a.Kind) {
		err = fmt.Errorf("answered %.60q", line)
	}
	return err
}

// greet asks for the version, a command that every memcached answers.
func (p *Side) greet() error {
	if err := p.send([]byte("version\r\n")); err != nil {
		return err
	}
	a, line, err := p.answer()
	switch {
	case err != nil:
		return fmt.Errorf("no answer to version: %w", err)
	case a.Kind != mc.AnswerVersion:
		return fmt.Errorf("version was answered with %.60q", line)
	}
	return nil
}

// delete deletes the keys, each of which must be answered. Keys with bytes that the classic
// protocol can't print are deleted by the meta command.
func (p *Side) delete(entries []journal.Entry) error {
	var b []byte
	for _, e := range entries {
		b = mc.AppendRequest(b, DeleteRequest(e.Key))
	}
	if err := p.send(b); err != nil {
		return err
	}
	for range entries {
		if err := p.expect(mc.AnswerDeleted, mc.AnswerNotFound, mc.AnswerHD, mc.AnswerNF); err != nil {
			return err
		}
	}
	return nil
}

// connections returns how many of the upstream's connections have their other end in ours. listed
// is false if the upstream's list doesn't show the connection that asks, and so can't be relied
// upon.
func (p *Side) connections(ours map[string]bool) (left int, listed bool, err error) {
	if err := p.send([]byte("stats conns\r\n")); err != nil {
		return 0, false, err
	}
	self := p.conn.LocalAddr().Network() + ":" + p.conn.LocalAddr().String()
	if strings.Contains(self, "[") {
		self = strings.Replace(self, "tcp:", "tcp6:", 1)
	}
	for {
		a, _, err := p.answer()
		if err != nil {
			return 0, false, err
		}
		if a.Kind != mc.AnswerStat {
			return left, listed && a.Kind == mc.AnswerEnd, nil
		}
		if strings.HasSuffix(string(a.Key), ":addr") {
			listed = listed || string(a.Args) == self
			if ours[string(a.Args)] {
				left++
			}
		}
	}
}

var errNoValue = errors.New("the answer to a get is none")

// Set stores a value under a key. Any answer will do, also one that refuses the value.
func (p *Side) Set(key, value string) error {
	if err := p.send(fmt.Appendf(nil, "set %s 0 0 %d\r\n%s\r\n", key, len(value), value)); err != nil {
		return err
	}
	_, _, err := p.answer()
	return err
}

// Get returns the value under a key; "" if it has more than keepBytes.
func (p *Side) Get(key string, keepBytes int) (value string, found bool, err error) {
	if err := p.send([]byte("get " + key + "\r\n")); err != nil {
		return "", false, err
	}
	a, b, err := p.client.ReadGet([]byte(key), keepBytes)
	if err == nil && a.Kind.IsError() {
		err = fmt.Errorf("%w: %.60q", errNoValue, a.Text())
	}
	return string(b), a.Kind == mc.AnswerValue, err
}

// DeleteRequest returns a delete of the key, by the meta command if the classic one can't name it.
func DeleteRequest(key []byte) *mc.Request {
	if mc.IsGraphic(key) {
		return &mc.Request{Op: mc.Delete, Key: key}
	}
	return &mc.Request{Op: mc.MetaDelete, Key: key, Args: []byte("b"), Flags: mc.Flag('b')}
}
