package server

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"holdfast/mc"
)

// Limits of authentication.
const (
	maxAuthBytes   = 2 * maxAuthLine
	maxAuthCommand = 2048 // bytes of a command line before a client is known

	// What slows down guessing: the answer to a wrong password waits, and a connection has few tries.
	wrongPasswordPause = time.Second
	maxWrongPasswords  = 3
)

// mechanism is the only one of SASL that is served (RFC 4616). The others that memcached's library
// has need the passwords themselves, too, and hide them no better than TLS does.
const mechanism = "PLAIN"

// A login is what a connection's client has shown of who it is, in either protocol.
type login struct {
	server *Server // whose users it must be of, and which counts attempts

	known      bool // the client has authenticated, or need not
	tokenBytes int  // text: of the credentials being read, 0 before their command. See authenticate
	saslBegun  bool // binary: the client has named its mechanism, and its message is to come
	wrong      int  // number of wrong passwords
	punished   bool // the last password was wrong: its answer is delayed
}

// authenticate takes the place of decode until the client is known: only "set KEY FLAGS EXPTIME
// BYTES" with "user password" as its value is understood, whatever its key (doc/protocol.txt,
// "Authentication"). It returns false when the input holds no whole command.
func (c *conn) authenticate() bool {
	if c.login.tokenBytes == 0 {
		end := bytes.IndexByte(c.in.unread, '\n')
		switch {
		case c.in.unread[0] == mc.BinaryRequestMagic && c.dialect.allowed != Text:
			c.dialect.speakBinary(c.server, false)
			c.work.batch.Binary = true
			return c.decode()
		case c.in.unread[0] == mc.BinaryRequestMagic:
			c.refuse(mc.ErrBinary)
			return true
		case end > maxAuthCommand, end < 0 && len(c.in.unread) > maxAuthCommand:
			c.refuse(mc.ErrLineTooLong)
			return true
		case end < 0:
			return !c.park()
		}
		size, ok := authSize(c.in.unread[:end])
		c.in.unread = c.in.unread[end+1:]
		if !ok {
			c.work.answer("CLIENT_ERROR unauthenticated\r\n")
			return true
		}
		c.login.tokenBytes = size + len(mc.CRLF)
	}
	if len(c.in.unread) < c.login.tokenBytes {
		return len(c.in.unread) > 0 && !c.park()
	}
	token := c.in.unread[:c.login.tokenBytes]
	c.in.unread = c.in.unread[c.login.tokenBytes:]
	c.login.tokenBytes = 0
	c.work.answer(c.login.checkToken(token))
	return true
}

// wrongPassword has the answer in the batch delayed.
func (l *login) wrongPassword() {
	l.punished = true
	l.wrong++
}

// delay continues after wrongPasswordPause. After too many wrong passwords the connection is closed
// once the answer is written. Meanwhile nothing is read from the client, and the loop's buffer is
// not kept for it.
func (c *conn) delay() {
	c.login.punished = false
	if c.login.wrong >= maxWrongPasswords {
		c.endWith(closeError)
	}
	c.phase.Store(phaseServing)
	c.in.leaveLoop()
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
func (l *login) checkToken(token []byte) string {
	s := l.server
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
		l.wrongPassword()
		return "CLIENT_ERROR authentication failure\r\n"
	}
	l.known = true
	return mc.Stored
}

// sasl answers a message of the client's authentication. A failed one
// revokes an earlier successful one, as in memcached. decoder is the connection's.
func (l *login) sasl(r *mc.Request, b *mc.Batch, decoder *mc.BinaryDecoder) {
	s := l.server
	plain := strings.EqualFold(string(r.Key), mechanism)
	begun := l.saslBegun || r.Op == mc.SASLAuth
	l.saslBegun = false
	if plain && r.Op == mc.SASLAuth && len(r.Value) == 0 {
		l.saslBegun = true
		b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusAuthContinue)
		return
	}
	s.authCommands.Add(1)
	user, password, ok := cutPlain(r.Value)
	known := plain && begun && ok && s.auth.check(user, password)
	l.known, decoder.Locked = known, !known
	if known {
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOK, "Authenticated")
		return
	}
	s.authErrors.Add(1)
	b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusAuthError)
	if plain {
		l.wrongPassword()
	}
}

// cutPlain splits PLAIN's message: the user to act as, NUL, the user, NUL, the password. A user may
// not act as another one.
func cutPlain(message []byte) (user, password []byte, ok bool) {
	as, rest, _ := bytes.Cut(message, []byte{0})
	user, password, ok = bytes.Cut(rest, []byte{0})
	return user, password, ok && (len(as) == 0 || bytes.Equal(as, user))
}
