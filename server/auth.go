package server

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"fmt"
	"os"
	"sync/atomic"
)

// Limits of the file of users.
const (
	maxAuthLine    = 256  // bytes of a line of the file
	maxAuthEntries = 1024 // lines of the file
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

// load reads the file. On an error the previous entries stay in force.
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
