package router

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"holdfast"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// adminPrefix begins the keys whose get is answered by the router itself, as in mcrouter
// (mcrouter/ServiceInfo-inl.h). The rest of a key is NAME or NAME(ARGUMENT,…). The value is text.
// If it begins with ERROR, it says what is wrong with the key.
//
//	version              holdfast VERSION
//	config               the text of the file
//	config_file          its path
//	config_md5_digest    its MD5
//	config_sources_info  both, as JSON
//	config_age           seconds since it was loaded
//	preprocessed_config  the pools and routes in use, with defaults, as YAML
//	options              the process's options, one per line
//	pools                the members of each pool, as JSON
//	hostid, pid          of this host and process
//	route(OP,KEY)         the addresses that a request goes to first, one per line
//	route_handles(OP,KEY) the routes that it passes, each indented below the one before
var adminPrefix = []byte("__mcrouter__.")

// A Source is the file that a router's options were loaded from.
type Source struct {
	File  string
	Text  []byte
	Taken time.Time
}

// SetSource sets the source of the options, for the admin keys.
func (r *Router) SetSource(s Source) { r.source.Store(&s) }

// admin answers a get of an admin key.
func (t *tree) admin(l *lane, q *query) {
	text, err := l.router.adminText(t, string(q.request.Key[len(adminPrefix):]))
	if err != nil {
		text = "ERROR: " + err.Error()
	}
	var wire []byte
	if r := q.request; r.Op == mc.Gets || r.Op == mc.Gats {
		wire = mc.AppendValueCAS(nil, r.Key, 0, len(text), 0)
	} else {
		wire = mc.AppendValue(nil, r.Key, 0, len(text))
	}
	q.taker.take(l, q, &upstream.Answer{Result: upstream.Hit, Wire: append(append(wire, text...), mc.CRLF...)})
}

func (r *Router) adminText(t *tree, asked string) (string, error) {
	name, arguments, found := strings.Cut(asked, "(")
	if found {
		var closed bool
		if arguments, closed = strings.CutSuffix(arguments, ")"); !closed {
			name, arguments = asked, ""
		}
	}
	switch name {
	case "version":
		return "holdfast " + holdfast.Version, nil
	case "hostid":
		host, err := os.Hostname()
		return strconv.FormatUint(uint64(spreadOfText(host)>>32), 10), err
	case "pid":
		return strconv.Itoa(os.Getpid()), nil
	case "preprocessed_config":
		text, err := yaml.Marshal(t.options)
		return strings.TrimSuffix(string(text), "\n"), err
	case "options":
		return fmt.Sprintf("num_proxies %d\nroute_prefix %s\nspool_folder %s", len(r.lanes), t.options.DefaultCluster,
			t.options.Journal.Folder), nil
	case "pools":
		return t.poolsText()
	case "route", "route_handles":
		return t.explainText(name, arguments)
	case "config", "config_file", "config_md5_digest", "config_sources_info", "config_age":
		return r.sourceText(name)
	}
	return "", fmt.Errorf("unknown command: %s", name)
}

// sourceText answers the admin keys about the source of the options.
func (r *Router) sourceText(name string) (string, error) {
	s := r.source.Load()
	if s == nil {
		return "", errors.New("no config file found")
	}
	sum := md5.Sum(s.Text)
	digest := hex.EncodeToString(sum[:])
	switch name {
	case "config":
		return string(s.Text), nil
	case "config_file":
		return s.File, nil
	case "config_age":
		return strconv.FormatInt(int64(r.now().Sub(s.Taken)/time.Second), 10), nil
	case "config_md5_digest":
		return digest, nil
	}
	text, err := json.MarshalIndent(map[string]string{"mcrouter_config": digest, "path": s.File}, "", "  ")
	return string(text), err
}

func (t *tree) poolsText() (string, error) {
	pools := map[string][]string{}
	for _, p := range t.pools {
		members := []string{}
		for _, m := range p.members {
			members = append(members, m.explain("").Address)
		}
		pools[p.options.Name] = members
	}
	text, err := json.MarshalIndent(pools, "", "  ")
	return string(text), err
}

// explainText answers the admin keys about where the request goes that the arguments OP,KEY stand
// for.
func (t *tree) explainText(name, arguments string) (string, error) {
	opName, key, found := strings.Cut(arguments, ",")
	if !found {
		return "", fmt.Errorf("%s: 2 args expected", name)
	}
	op, ok := parseOp(opName)
	if !ok || key == "" {
		return "", fmt.Errorf("route: unknown request %s", opName)
	}
	hops := t.explain(op, []byte(key))
	if name == "route" {
		return strings.Join(route.Addresses(nil, hops), "\r\n"), nil
	}
	lines := make([]string, len(hops))
	for i, h := range hops {
		lines[i] = h.String()
	}
	return strings.Join(lines, "\n"), nil
}
