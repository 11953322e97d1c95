package server

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// Limits of authentication.
const (
	maxAuthLine    = 256  // bytes of a line of the file
	maxAuthEntries = 1024 // lines of the file
	maxAuthBytes   = 2 * maxAuthLine
	maxAuthCommand = 2048 // bytes of a command line before a client is known

	// What slows down guessing: the answer to a wrong password waits, and a connection has few tries.
	wrongPasswordPause = time.Second
	maxWrongPasswords  = 3
)

// An authFile holds the users that may connect, from a file of lines "user:password", like
// memcached's -Y.
type authFile struct {
	path    string
	entries atomic.Pointer[[]credential]
}

type credential struct{ user, password []byte }

func openAuthFile(path string) (*authFile, error) {
	a := &authFile{path: path}
	return a, a.load()
}

// load reads the file again. On an error the entries stay as they were.
func (a *authFile) load() error {
	file, err := os.Open(a.path)
	if err != nil {
		return fmt.Errorf("authentication file: %w", err)
	}
	defer file.Close()
	var entries []credential
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if len(line) == 0 {
			continue
		}
		user, password, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok:
			return fmt.Errorf("authentication file %s: line %d: not user:password", a.path, n)
		case len(line) > maxAuthLine:
			return fmt.Errorf("authentication file %s: line %d: %d bytes; at most %d", a.path, n, len(line), maxAuthLine)
		case len(entries) == maxAuthEntries:
			return fmt.Errorf("authentication file %s: more than %d users", a.path, maxAuthEntries)
		}
		entries = append(entries, credential{bytes.Clone(user), bytes.Clone(password)})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("authentication file %s: %w", a.path, err)
	}
	a.entries.Store(&entries)
	return nil
}

// check compares with every entry, in constant time, so that the time reveals nothing.
func (a *authFile) check(user, password []byte) bool {
	found := 0
	for _, e := range *a.entries.Load() {
		found |= subtle.ConstantTimeCompare(e.user, user) & subtle.ConstantTimeCompare(e.password, password)
	}
	return found == 1
}

// authenticate takes the place of decode until the client is known: only "set KEY FLAGS EXPTIME
// BYTES" with "user password" as its value is understood, whatever its key (doc/protocol.txt,
// "Authentication"). It returns false when the input holds no whole command.
func (c *conn) authenticate() bool {
	if c.authBytes == 0 {
		end := bytes.IndexByte(c.input, '\n')
		switch {
		case c.input[0] == mc.BinaryRequestMagic && c.protocol != Text:
			c.speakBinary()
			return c.decode()
		case c.input[0] == mc.BinaryRequestMagic:
			c.refuse(mc.ErrBinary)
			return true
		case end > maxAuthCommand, end < 0 && len(c.input) > maxAuthCommand:
			c.refuse(mc.ErrLineTooLong)
			return true
		case end < 0:
			return !c.park()
		}
		size, ok := authSize(c.input[:end])
		c.input = c.input[end+1:]
		if !ok {
			c.answer("CLIENT_ERROR unauthenticated\r\n")
			return true
		}
		c.authBytes = size + len(mc.CRLF)
	}
	if len(c.input) < c.authBytes {
		return len(c.input) > 0 && !c.park()
	}
	token := c.input[:c.authBytes]
	c.input = c.input[c.authBytes:]
	c.authBytes = 0
	c.answer(c.checkToken(token))
	return true
}

// wrongPassword has the answer that stands in the batch wait, and be the last one if there were too
// many.
func (c *conn) wrongPassword() {
	c.punished = true
	if c.wrong++; c.wrong >= maxWrongPasswords {
		c.endWith(closeError)
	}
}

// delay goes on after wrongPasswordPause. Meanwhile nothing is read from the client, and the loop's
// buffer is not kept for it.
func (c *conn) delay() {
	c.punished = false
	c.phase.Store(phaseServing)
	if c.shared {
		c.input, c.shared = bytes.Clone(c.input), false
	}
	c.stream.Pause()
	c.work.state.Store(left) // as in yield
	stream, proceed := c.stream, c.work.proceed
	c.server.options.after(wrongPasswordPause, func() { stream.Post(proceed) })
}

// authSize returns the length in a line "set KEY FLAGS EXPTIME BYTES".
func authSize(line []byte) (int, bool) {
	fields := bytes.Fields(line)
	if len(fields) < 5 || string(fields[0]) != "set" {
		return 0, false
	}
	size, err := strconv.ParseUint(string(fields[4]), 10, 31)
	return int(size), err == nil && size <= maxAuthBytes
}

// checkToken returns the answer to "user password\r\n".
func (c *conn) checkToken(token []byte) string {
	s := c.server
	token, ok := bytes.CutSuffix(token, []byte(mc.CRLF))
	if !ok {
		return "CLIENT_ERROR bad command line termination\r\n"
	}
	user, password, ok := bytes.Cut(token, []byte(" "))
	if !ok {
		return "CLIENT_ERROR bad authentication token format\r\n"
	}
	s.authCommands.Add(1)
	if !s.auth.check(user, password) {
		s.authErrors.Add(1)
		c.wrongPassword()
		return "CLIENT_ERROR authentication failure\r\n"
	}
	c.authenticated = true
	return mc.Stored
}

// answer appends a line of the server's own.
func (c *conn) answer(line string) { c.work.batch.Out = append(c.work.batch.Out, line...) }
