package cache

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A modelled item has all that a client can find out about an item.
type modelled struct {
	value       string
	clientFlags uint32
	expiry      uint32 // Unix seconds, 0 never
	cas         uint64
	accessed    uint32

	fetched, stale, won, binary bool
}

// A model computes the answers of a store that never evicts: memcached's semantics without memory,
// layouts and locks. Its functions are pure: they return an answer, and the item after the command.
type model struct {
	now         uint32
	nextCAS     uint64
	numberBytes int // a longer value is not a number, as memcached's chunked items are not
}

// A command is one request. key is the raw key; with base64 it is sent encoded, with the flag b.
type command struct {
	op          string
	key         string
	base64      bool
	value       string
	clientFlags uint32
	exptime     int64
	cas, delta  uint64
	flags       []string // of a meta command, without b
}

// text returns the command in its form on the wire.
func (c *command) text() string {
	key := c.key
	flags := ""
	if c.base64 {
		key, flags = base64.StdEncoding.EncodeToString([]byte(key)), " b"
	}
	for _, f := range c.flags {
		flags += " " + f
	}
	switch c.op {
	case "set", "add", "replace", "append", "prepend":
		return fmt.Sprintf("%s %s %d %d %d\r\n%s\r\n", c.op, key, c.clientFlags, c.exptime, len(c.value), c.value)
	case "cas":
		return fmt.Sprintf("cas %s %d %d %d %d\r\n%s\r\n", key, c.clientFlags, c.exptime, len(c.value), c.cas, c.value)
	case "gat", "gats":
		return fmt.Sprintf("%s %d %s\r\n", c.op, c.exptime, key)
	case "touch":
		return fmt.Sprintf("touch %s %d\r\n", key, c.exptime)
	case "incr", "decr":
		return fmt.Sprintf("%s %s %d\r\n", c.op, key, c.delta)
	case "ms":
		return fmt.Sprintf("ms %s %d%s\r\n%s\r\n", key, len(c.value), flags, c.value)
	}
	return c.op + " " + key + flags + "\r\n"
}

// flag returns the argument of a meta flag.
func (c *command) flag(letter byte) (argument string, has bool) {
	for _, f := range c.flags {
		if f[0] == letter {
			return f[1:], true
		}
	}
	return "", false
}

func (c *command) has(letter byte) bool { _, has := c.flag(letter); return has }

// number returns the number of a meta flag, 0 without it.
func (c *command) number(letter byte) int64 {
	argument, _ := c.flag(letter)
	n, _ := strconv.ParseInt(argument, 10, 64)
	return n
}

// expiry converts an exptime as doc/protocol.txt says.
func (m *model) expiry(exptime int64) uint32 {
	switch {
	case exptime == 0:
		return 0
	case exptime < 0:
		return 1
	case exptime > 30*24*3600:
		return uint32(exptime)
	}
	return m.now + uint32(exptime)
}

// live returns the item, or nil if it has expired.
func (m *model) live(it *modelled) *modelled {
	if it == nil || it.expiry != 0 && it.expiry <= m.now {
		return nil
	}
	return it
}

// apply returns the answer to a command for an item, nil if there is none, and the item afterwards.
func (m *model) apply(c *command, it *modelled) (answer string, after *modelled) {
	switch c.op {
	case "mg":
		answer, after = m.metaGet(c, it)
	case "ms":
		answer, after = m.metaSet(c, it)
	case "md":
		answer, after = m.metaDelete(c, it)
	case "ma":
		answer, after = m.metaArithmetic(c, it)
	case "me":
		answer, after = m.metaDebug(c, it), it
	default:
		answer, after = m.classic(c, it)
	}
	return answer, m.live(after)
}

func (m *model) classic(c *command, it *modelled) (string, *modelled) {
	switch c.op {
	case "get", "gets", "gat", "gats":
		return m.get(c, it)
	case "set":
		return "STORED\r\n", m.fresh(c, m.expiry(c.exptime))
	case "add", "replace":
		if (it != nil) == (c.op == "add") {
			return "NOT_STORED\r\n", it
		}
		return "STORED\r\n", m.fresh(c, m.expiry(c.exptime))
	case "append", "prepend":
		if it == nil {
			return "NOT_STORED\r\n", nil
		}
		return "STORED\r\n", m.joined(c, it, c.op == "append")
	case "cas":
		switch {
		case it == nil:
			return "NOT_FOUND\r\n", nil
		case it.cas != c.cas:
			return "EXISTS\r\n", it
		}
		return "STORED\r\n", m.fresh(c, m.expiry(c.exptime))
	case "delete":
		if it == nil {
			return "NOT_FOUND\r\n", nil
		}
		return "DELETED\r\n", nil
	case "touch":
		if it == nil {
			return "NOT_FOUND\r\n", nil
		}
		after := *it
		after.expiry = m.expiry(c.exptime)
		return "TOUCHED\r\n", &after
	}
	if it == nil {
		return "NOT_FOUND\r\n", nil
	}
	n, ok := m.number(it.value)
	if !ok {
		return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n", it
	}
	n = moved(n, c.delta, c.op == "incr")
	return fmt.Sprintf("%d\r\n", n), m.renumbered(c, it, n)
}

func (m *model) get(c *command, it *modelled) (string, *modelled) {
	if it == nil {
		return "END\r\n", nil
	}
	after := *it
	after.fetched, after.accessed = true, m.now
	if c.op[1] == 'a' {
		after.expiry = m.expiry(c.exptime)
	}
	line := fmt.Sprintf("VALUE %s %d %d", c.key, it.clientFlags, len(it.value))
	if strings.HasSuffix(c.op, "s") {
		line += fmt.Sprintf(" %d", it.cas)
	}
	return line + "\r\n" + it.value + "\r\nEND\r\n", &after
}

// fresh returns the item that the command stores.
func (m *model) fresh(c *command, expiry uint32) *modelled {
	it := &modelled{value: c.value, clientFlags: c.clientFlags, expiry: expiry, accessed: m.now, binary: c.base64}
	if c.has('F') {
		it.clientFlags = uint32(c.number('F'))
	}
	m.renew(c, it)
	return it
}

// renew gives the item the CAS that a change by the command gives it.
func (m *model) renew(c *command, it *modelled) {
	it.cas = m.nextCAS
	if c.has('E') {
		it.cas = uint64(c.number('E'))
	}
}

// joined returns the item with the command's value before or after its own. Marks end with the
// value.
func (m *model) joined(c *command, it *modelled, after bool) *modelled {
	to := *it
	if after {
		to.value = it.value + c.value
	} else {
		to.value = c.value + it.value
	}
	to.stale, to.won, to.accessed = false, false, m.now
	m.renew(c, &to)
	return &to
}

// renumbered returns the item with the number n, padded to the old length.
func (m *model) renumbered(c *command, it *modelled, n uint64) *modelled {
	to := *it
	to.value = fmt.Sprintf("%-*d", len(it.value), n)
	to.accessed = m.now
	m.renew(c, &to)
	return &to
}

var numberForm = regexp.MustCompile(`^ *([0-9]+)( .*)?$`)

func (m *model) number(value string) (uint64, bool) {
	form := numberForm.FindStringSubmatch(value)
	if form == nil || len(value) > m.numberBytes {
		return 0, false
	}
	n, err := strconv.ParseUint(form[1], 10, 64)
	return n, err == nil
}

// moved returns n after incr, which wraps at 64 bits, or decr, which stops at 0.
func moved(n, delta uint64, up bool) uint64 {
	if up {
		return n + delta
	}
	return n - min(n, delta)
}

func (m *model) metaGet(c *command, it *modelled) (string, *modelled) {
	made := it == nil && c.has('N')
	if made {
		it = m.fresh(c, m.expiry(c.number('N')))
	}
	if it == nil {
		if c.has('q') {
			return "", nil
		}
		return "EN" + c.echo() + "\r\n", nil
	}
	after := *it
	value := c.has('v') && !(c.has('C') && uint64(c.number('C')) == it.cas)
	answer, won := "HD", made
	if value {
		answer = fmt.Sprintf("VA %d", len(it.value))
	}
	for _, f := range c.flags {
		switch f[0] {
		case 'R':
			won = won || !made && !it.won && after.expiry != 0 && after.expiry < m.expiry(c.number('R'))
		case 'T':
			after.expiry = m.expiry(c.number('T'))
		default:
			answer += m.returned(c, f, it, after.expiry)
		}
	}
	if it.won {
		answer += " Z"
	}
	if it.stale {
		answer += " X"
		won = won || !it.won
	}
	if won {
		answer += " W"
		after.won = true
	}
	answer += "\r\n"
	if value {
		answer += it.value + "\r\n"
	}
	if !c.has('u') {
		after.fetched, after.accessed = true, m.now
	}
	return answer, &after
}

// returned returns what a flag of mg adds to the answer.
func (m *model) returned(c *command, flag string, it *modelled, expiry uint32) string {
	switch flag[0] {
	case 't':
		return m.ttl(expiry)
	case 's':
		return fmt.Sprintf(" s%d", len(it.value))
	case 'c':
		return fmt.Sprintf(" c%d", it.cas)
	case 'f':
		return fmt.Sprintf(" f%d", it.clientFlags)
	case 'l':
		return fmt.Sprintf(" l%d", m.now-it.accessed)
	case 'h':
		if it.fetched {
			return " h1"
		}
		return " h0"
	case 'O':
		return " " + flag
	case 'k':
		return keyFlag(c.key, it.binary)
	}
	return ""
}

func (m *model) ttl(expiry uint32) string {
	if expiry == 0 {
		return " t-1"
	}
	return fmt.Sprintf(" t%d", expiry-min(expiry, m.now))
}

func keyFlag(key string, binary bool) string {
	if binary {
		return " k" + base64.StdEncoding.EncodeToString([]byte(key)) + " b"
	}
	return " k" + key
}

// echo returns the flags that an answer without an item repeats.
func (c *command) echo() (answer string) {
	for _, f := range c.flags {
		switch f[0] {
		case 'O':
			answer += " " + f
		case 'k':
			answer += keyFlag(c.key, c.base64)
		}
	}
	return answer
}

func (m *model) metaSet(c *command, it *modelled) (string, *modelled) {
	code, after := m.metaStore(c, it)
	if code == "HD" && c.has('q') {
		return "", after
	}
	answer := code
	for _, f := range c.flags {
		switch {
		case f[0] == 'c' && code == "HD":
			answer += fmt.Sprintf(" c%d", after.cas)
		case f[0] == 'c':
			answer += " c0"
		case f[0] == 's' && code == "HD":
			answer += fmt.Sprintf(" s%d", len(after.value))
		case f[0] == 's':
			answer += fmt.Sprintf(" s%d", len(c.value))
		case f[0] == 'O':
			answer += " " + f
		case f[0] == 'k':
			answer += keyFlag(c.key, c.base64)
		}
	}
	return answer + "\r\n", after
}

// metaStore returns the code of ms, and the item afterwards.
func (m *model) metaStore(c *command, it *modelled) (string, *modelled) {
	mode, _ := c.flag('M')
	expiry := m.expiry(c.number('T'))
	cas := uint64(c.number('C'))
	joins := mode == "A" || mode == "P"
	switch {
	case it == nil && joins && c.has('N'):
		return "HD", m.fresh(c, m.expiry(c.number('N')))
	case it == nil && c.has('C') && !joins && mode != "E":
		return "NF", nil
	case it == nil && (joins || mode == "R"):
		return "NS", nil
	case it != nil && mode == "E":
		return "NS", it
	case it == nil || mode == "E" || !c.has('C') || cas == it.cas || joins && cas == 0:
		if joins {
			return "HD", m.joined(c, it, mode == "A")
		}
		return "HD", m.fresh(c, expiry)
	case !joins && c.has('I') && cas < it.cas:
		after := m.fresh(c, it.expiry)
		after.stale, after.won = true, it.won
		return "HD", after
	}
	return "EX", it
}

func (m *model) metaDelete(c *command, it *modelled) (string, *modelled) {
	switch {
	case it == nil:
		return "NF" + c.echo() + "\r\n", nil
	case c.has('C') && uint64(c.number('C')) != it.cas:
		return "EX" + c.echo() + "\r\n", it
	}
	answer := "HD" + c.echo() + "\r\n"
	if c.has('q') {
		answer = ""
	}
	switch {
	case c.has('x'):
		after := m.fresh(c, m.expiry(c.number('T')))
		after.stale = c.has('I')
		if !c.has('I') && !c.has('E') {
			after.cas = it.cas
		}
		return answer, after
	case c.has('I'):
		after := *it
		after.stale, after.won = true, false
		if c.has('T') {
			after.expiry = m.expiry(c.number('T'))
		}
		m.renew(c, &after)
		return answer, &after
	}
	return answer, nil
}

func (m *model) metaArithmetic(c *command, it *modelled) (string, *modelled) {
	mode, _ := c.flag('M')
	delta := uint64(1)
	if c.has('D') {
		delta = uint64(c.number('D'))
	}
	made := it == nil && c.has('N')
	var after *modelled
	var n uint64
	expiry := uint32(0) // that t returns
	switch {
	case made:
		n = uint64(c.number('J'))
		numbered := *c
		numbered.value = strconv.FormatUint(n, 10)
		after = m.fresh(&numbered, m.expiry(c.number('N')))
	case it == nil:
		return "NF" + c.echo() + "\r\n", nil
	default:
		var ok bool
		n, ok = m.number(it.value)
		if it.value != "" && c.has('C') && c.number('C') != 0 && uint64(c.number('C')) != it.cas {
			return "EX" + c.echo() + "\r\n", it
		}
		if !ok {
			return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n", it
		}
		n = moved(n, delta, mode != "D" && mode != "-")
		after, expiry = m.renumbered(c, it, n), it.expiry
	}
	if c.has('T') {
		after.expiry = m.expiry(c.number('T'))
	}
	return m.numberAnswer(c, n, made, expiry, after), after
}

func (m *model) numberAnswer(c *command, n uint64, made bool, expiry uint32, after *modelled) string {
	if c.has('q') {
		return ""
	}
	digits := strconv.FormatUint(n, 10)
	answer := "HD"
	if c.has('v') {
		answer = fmt.Sprintf("VA %d", len(digits))
	}
	for _, f := range c.flags {
		switch f[0] {
		case 'N':
			if made {
				expiry = after.expiry
			}
		case 'T':
			expiry = after.expiry
		case 't':
			answer += m.ttl(expiry)
		case 'c':
			answer += fmt.Sprintf(" c%d", after.cas)
		case 'O':
			answer += " " + f
		case 'k':
			answer += keyFlag(c.key, c.base64)
		}
	}
	answer += "\r\n"
	if c.has('v') {
		answer += digits + "\r\n"
	}
	return answer
}

// metaDebug returns me's answer up to cls, behind which the answer has the store's own numbers.
func (m *model) metaDebug(c *command, it *modelled) string {
	if it == nil {
		return "EN\r\n"
	}
	key, exp := c.key, int64(-1)
	if it.binary {
		key = base64.StdEncoding.EncodeToString([]byte(key))
	}
	if it.expiry != 0 {
		exp = int64(it.expiry) - int64(m.now)
	}
	return fmt.Sprintf("ME %s exp=%d la=%d cas=%d fetch=%s", key, exp, m.now-it.accessed, it.cas, yesNo(it.fetched))
}
