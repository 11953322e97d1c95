package node

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// namedHosts refuses requests to a host of another name than this listener is known by. A web page
// can have its own name lead to 127.0.0.1, and would then be answered what a browser keeps from other
// sites (DNS rebinding). It can't do so with an address, nor with localhost.
//
// names are what else is taken. Without any, a listener that others than this machine reach takes
// every name: which are its own isn't known, and whoever set it up that way wants to be found.
func namedHosts(addr net.Addr, names []string, next http.Handler) http.Handler {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !isOwnHost(host, names) {
			http.Error(w, fmt.Sprintf("%q is no name of this server; http.hosts in its configuration lists its names", host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is a Host header without its port.
func hostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		header = host
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(header, "[]"), "."))
}

// isOwnHost takes no name, too, as of an HTTP/1.0 client: browsers always send one.
func isOwnHost(host string, names []string) bool {
	if host == "" || host == "localhost" || slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) }) {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
