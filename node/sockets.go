package node

import (
	"errors"
	"net"
	"strings"
	"time"
)

// A keptListener stays bound when what serves it closes it, so that it can be served again: nobody
// else can take its address meanwhile, and who connects waits.
type keptListener struct{ *net.TCPListener }

// Close has Accept fail.
func (l keptListener) Close() error { return l.SetDeadline(time.Unix(1, 0)) }

// sockets are listeners that Meet has bound for the node that Open then opens.
type sockets struct{ cluster, http *net.TCPListener }

// freeForClients returns a *ListenError if an address at which clients are to connect is taken. A node
// that found so only when it opens would end when the others count on it already.
func freeForClients(o *Options) error {
	c := &o.Config
	if !o.WithoutCache {
		for _, l := range c.Cache.Listen {
			if err := free("cache.listen", l.Address); err != nil {
				return err
			}
		}
	}
	if c.Router != nil {
		for _, l := range c.Router.Listen {
			if err := free("router.listen", l.Address); err != nil {
				return err
			}
		}
	}
	if c.Tables.On() {
		return free("tables.listen", c.Tables.Address())
	}
	return nil
}

// free returns a *ListenError if an address is taken. Of Unix sockets it says nothing.
func free(setting, address string) error {
	if strings.HasPrefix(address, "unix:") {
		return nil
	}
	l, err := net.Listen("tcp", strings.TrimPrefix(address, "*"))
	if err != nil {
		return &ListenError{setting, err}
	}
	return l.Close()
}

// take returns a listener of the sockets, which is the caller's from now on; nil if it isn't bound.
func take(at **net.TCPListener) net.Listener {
	l := *at
	*at = nil
	if l == nil || l.SetDeadline(time.Time{}) != nil { // it is closed
		return nil
	}
	return l
}

// close closes those that weren't taken.
func (s *sockets) close() error {
	var errs []error
	for _, l := range []*net.TCPListener{s.cluster, s.http} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	*s = sockets{}
	return errors.Join(errs...)
}
