package wire

import (
	"path/filepath"
	"strings"
	"testing"
)

// The scripts about items. Those about details of the meta protocol hold only if a key is on one
// member: each member of a replicated pool has a CAS and a history of its own.
var (
	classicScripts = []string{
		"arithmetic", "delete", "errors", "expiry", "get", "keys", "noreply", "pipeline", "store", "touch",
	}
	metaScripts = []string{"meta-arithmetic", "meta-delete", "meta-get", "meta-other", "meta-set", "meta-stale"}
)

// TestRouterScripts plays the scripts about items through a router in front of Holdfast's caches: a
// client sees the same as from a cache.
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
