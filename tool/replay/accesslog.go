package replay

import (
	"bytes"
	"strconv"
	"time"
)

// accessLog reads the access log of a web server in the common or the combined log format, which
// Apache, nginx, Caddy's transform and others write:
//
//	host ident user [02/Jan/2006:15:04:05 -0700] "GET /path HTTP/1.1" 200 1234 "referrer" "agent"
//
// The text before the time and after the size isn't read, so that a virtual host in front or a
// duration at the end does no harm. GET and HEAD are requests, and their path with its query is the
// key; other lines are skipped, since real logs contain scans and garbage.
type accessLog struct {
	lines
	keyer *keyer
	skips *skips
	first time.Time // the first request's
}

// Why a line of a log is skipped, besides its method.
const (
	skipNoLog     = "not in the common or combined log format"
	skipNoRequest = "no request in the quotes"
)

func (a *accessLog) Next() (Request, error) {
	for {
		line, err := a.next()
		if err == errLineTooLong {
			a.skips.add(a.number, err.Error())
			continue
		}
		if err != nil {
			return Request{}, err
		}
		if len(line) == 0 {
			continue
		}
		e, skip := parseLog(line)
		if skip != "" {
			a.skips.add(a.number, skip)
			continue
		}
		return a.request(e), nil
	}
}

func (a *accessLog) request(e logEntry) Request {
	r := Request{Key: a.keyer.text(e.path), ValueBytes: -1, TTL: -1}
	// Responses other than a whole page, such as 304 or 206, don't have the page's size.
	if e.status == 200 && e.get && e.bytes > 0 {
		r.ValueBytes = min(e.bytes, MaxValueBytes)
	}
	if at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(e.time)); err == nil {
		if a.first.IsZero() {
			a.first = at
		}
		r.At, r.HasTime = at.Sub(a.first), true
	}
	return r
}

// logEntry is the part of a line that is used; its slices borrow the line.
type logEntry struct {
	time, path []byte
	status     int
	bytes      int // -1 if unknown
	get        bool
}

// parseLog parses a line, or returns why it is skipped.
func parseLog(line []byte) (e logEntry, skip string) {
	_, rest, ok := bytes.Cut(line, []byte(" ["))
	if !ok {
		return e, skipNoLog
	}
	if e.time, rest, ok = bytes.Cut(rest, []byte("] \"")); !ok {
		return e, skipNoLog
	}
	request, rest, ok := cutQuoted(rest)
	if !ok {
		return e, skipNoLog
	}
	fields := bytes.Fields(rest)
	if len(fields) < 2 {
		return e, skipNoLog
	}
	var err error
	if e.status, err = strconv.Atoi(string(fields[0])); err != nil || e.status < 100 || e.status > 999 {
		return e, skipNoLog
	}
	if e.bytes, err = strconv.Atoi(string(fields[1])); err != nil || e.bytes < 0 {
		e.bytes = -1
	}
	return e, e.parseRequest(request)
}

// parseRequest parses "GET /path HTTP/1.1", or returns why the line is skipped.
func (e *logEntry) parseRequest(request []byte) (skip string) {
	method, rest, ok := bytes.Cut(request, []byte(" "))
	if !ok || !isToken(method) {
		return skipNoRequest
	}
	e.path = rest
	if i := bytes.LastIndex(rest, []byte(" HTTP/")); i >= 0 {
		e.path = rest[:i]
	}
	if len(e.path) == 0 {
		return skipNoRequest
	}
	switch e.get = string(method) == "GET"; {
	case e.get, string(method) == "HEAD":
		return ""
	}
	return "method " + string(method)
}

// cutQuoted splits s at the first quote that isn't escaped by a backslash.
func cutQuoted(s []byte) (in, after []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], true
		}
	}
	return nil, nil, false
}

// isToken reports whether s can be an HTTP method: a short word in capitals.
func isToken(s []byte) bool {
	if len(s) == 0 || len(s) > 20 {
		return false
	}
	for _, c := range s {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
