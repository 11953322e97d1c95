package wire

import (
	"path/filepath"
	"strings"
	"testing"
)

// The scripts that are about items. Those about the meta protocol's finer points hold where a key is on
// one member: the members of a replicated pool have a CAS and a history each of their own.
var (
	classicScripts = []string{"arithmetic", "delete", "errors", "expiry", "get", "keys", "noreply", "pipeline", "store", "touch"}
	metaScripts    = []string{"meta-arithmetic", "meta-delete", "meta-get", "meta-other", "meta-set", "meta-stale"}
)

// TestRouterScripts plays the scripts about items through a router before caches of ours: a client sees
// what it sees of a cache.
func TestRouterScripts(t *testing.T) {
	for _, pool := range []struct {
		name    string
		members int
		more    []string
		meta    bool
	}{
		{"one member", 1, nil, true},
		{"sharded", 3, nil, true},
		{"replicated", 3, []string{"kind: replicated"}, false},
	} {
		t.Run(pool.name, func(t *testing.T) {
			t.Parallel()
			var members []*process
			for range pool.members {
				members = append(members, start(t, holdfast(t), "-t", "1"))
			}
			address := freeAddress(t)
			router := startRouter(t, address, configFor(address, members, pool.more...))
			scripts := classicScripts
			if pool.meta {
				scripts = append(scripts[:len(scripts):len(scripts)], metaScripts...)
			}
			for _, name := range scripts {
				t.Run(name, func(t *testing.T) { playRouted(t, router, name) })
			}
		})
	}
}

func playRouted(t *testing.T, router *process, name string) {
	file := filepath.Join("testdata", name+".txt")
	s, err := readScript(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.flags) > 0 {
		t.Fatalf("%s wants a server with %q", file, strings.Join(s.flags, " "))
	}
	p := holdfast(t)
	for _, c := range s.cases {
		t.Run(c.name, func(t *testing.T) {
			if !c.when.holds(p) {
				t.Skipf("not for %v", p)
			}
			flush(t, router)
			pl := &player{t: t, peer: p, server: router, file: file, vars: vars{}}
			pl.play(c)
		})
	}
}
