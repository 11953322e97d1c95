package node

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// namedHosts refuses requests whose Host is not a name of this listener. A web page can point its
// own DNS name at 127.0.0.1 and so read responses that the browser would withhold from another site
// (DNS rebinding). It can't do that with an address or with localhost, so these are always
// accepted, and names besides. Without names, a listener on a non-loopback address accepts every
// Host, since its own names aren't known.
func namedHosts(addr net.Addr, names []string, next http.Handler) http.Handler {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !isOwnHost(host, names) {
			text := fmt.Sprintf("%q is not a name of this server; http.hosts in its configuration lists them", host)
			http.Error(w, text, http.StatusMisdirectedRequest)
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

// isOwnHost also accepts an empty name, as of an HTTP/1.0 client: browsers always send one.
func isOwnHost(host string, names []string) bool {
	if host == "" || host == "localhost" || slices.ContainsFunc(names,
		func(name string) bool { return strings.EqualFold(name, host) }) {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
