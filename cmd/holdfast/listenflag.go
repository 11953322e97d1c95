package main

import (
	"net"
	"strconv"
	"strings"

	"holdfast/config"
)

// addListeners parses the value of one -l, a list of addresses.
func (f *cacheFlags) addListeners(value string) error {
	words := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ';' })
	f.listen = append(f.listen, words...)
	return nil
}

var listenerTLS = []struct {
	prefix string
	tls    config.ListenTLS
}{{"notls:", config.TLSOff}, {"btls:", config.TLSAuto}, {"mtls:", config.TLSMutual}}

// parseListener reads one address of -l as memcached does: [notls:|btls:|mtls:][proto[NAME]:]
// [tag[NAME]:|tag_NAME_:]HOST[:PORT], where HOST may be *, and an IPv6 address with a port is in
// brackets. A tag is for memcached's proxy: it is accepted but has no effect. btls: selects TLS as
// -Z sets it up; finishTLS refuses it if -o ssl_verify_mode checks certificates, since memcached's
// btls: would turn that check off.
func parseListener(word, port string, tls bool) (config.Listener, error) {
	l := config.Listener{Mode: config.DefaultMode}
	address := word
	for _, form := range listenerTLS {
		if rest, ok := strings.CutPrefix(address, form.prefix); ok {
			if !tls {
				return l, fail(exitOS, "'%s' option is valid only when SSL is enabled", strings.TrimSuffix(form.prefix, ":"))
			}
			l.TLS, address = form.tls, rest
			break
		}
	}
	var err error
	if l.Protocol, address, err = cutProtocol(address); err != nil {
		return l, err
	}
	if address, err = cutTag(address); err != nil {
		return l, err
	}
	host, p, err := splitHost(address, port)
	if err != nil {
		return l, err
	}
	l.Address = net.JoinHostPort(host, p)
	return l, nil
}

func cutProtocol(address string) (protocol config.Protocol, rest string, err error) {
	rest, ok := strings.CutPrefix(address, "proto[")
	if !ok {
		return "", address, nil
	}
	name, rest, ok := strings.Cut(rest, "]:")
	if !ok {
		return "", "", fail(exitOS, "Invalid protocol spec: %q", address)
	}
	switch name {
	case "ascii":
		return config.ProtocolASCII, rest, nil
	case "binary":
		return config.ProtocolBinary, rest, nil
	case "negotiating":
		return config.ProtocolAuto, rest, nil
	}
	return "", "", fail(exitUsage, "The %s protocol is not supported: %q", name, address)
}

func cutTag(address string) (string, error) {
	for start, end := range map[string]string{"tag[": "]:", "tag_": "_:"} {
		rest, ok := strings.CutPrefix(address, start)
		if !ok {
			continue
		}
		name, rest, ok := strings.Cut(rest, end)
		if !ok || len(name) < 1 || len(name) > 8 {
			return "", fail(exitOS, "Listener tags must be between 1 and 8 characters: %q", address)
		}
		return rest, nil
	}
	return address, nil
}

// splitHost splits HOST, HOST:PORT, [IPV6], [IPV6]:PORT or a bare IPV6 address.
func splitHost(address, port string) (host, p string, err error) {
	if rest, ok := strings.CutPrefix(address, "["); ok {
		host, rest, ok = strings.Cut(rest, "]")
		if !ok {
			return "", "", fail(exitOS, "Invalid IPV6 address: %q", address)
		}
		if p, ok = strings.CutPrefix(rest, ":"); !ok {
			return host, port, nil
		}
	} else if host, p, ok = strings.Cut(address, ":"); !ok || strings.Contains(p, ":") {
		return address, port, nil
	}
	if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 65535 {
		return "", "", fail(exitOS, "Invalid port number: %q", p)
	}
	return host, p, nil
}
