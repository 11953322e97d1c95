package discover

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// target is a parsed name.
type target struct {
	host string
	port uint16 // 0 for srv: each record has its own
}

// Is reports whether an address is one of this package's, which begin with dns: or srv:.
func Is(address string) bool {
	return strings.HasPrefix(address, "dns:") || strings.HasPrefix(address, "srv:")
}

// parse splits a name into its parts. Its error explains what is wrong with the name's form.
func parse(name string) (target, error) {
	kind, rest, _ := strings.Cut(name, ":")
	t := target{host: rest}
	switch kind {
	case "dns":
		host, port, err := splitPort(rest)
		if err != nil {
			return target{}, fmt.Errorf("%q: %w; want dns:NAME:PORT", name, err)
		}
		t = target{host, port}
	case "srv":
		if strings.Contains(rest, ":") {
			return target{}, fmt.Errorf("%q: service records have the port; want srv:NAME", name)
		}
	default:
		return target{}, fmt.Errorf("%q: want dns:NAME:PORT or srv:NAME", name)
	}
	if err := checkHost(t.host); err != nil {
		return target{}, fmt.Errorf("%q: %w", name, err)
	}
	return t, nil
}

func splitPort(s string) (host string, port uint16, err error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return "", 0, fmt.Errorf("no port")
	}
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", s[colon+1:])
	}
	return s[:colon], uint16(n), nil
}

// maxNameBytes is RFC 1035's limit of a name, with a dot at the end.
const maxNameBytes = 254

func checkHost(host string) error {
	switch {
	case host == "":
		return fmt.Errorf("no name")
	case len(host) > maxNameBytes:
		return fmt.Errorf("a name of %d bytes; DNS has at most %d", len(host), maxNameBytes)
	case strings.ContainsAny(host, " \t\r\n/:[]"):
		return fmt.Errorf("%q is not a DNS name", host)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return fmt.Errorf("%s is an address already: leave the prefix out", host)
	}
	return nil
}
