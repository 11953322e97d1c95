package cluster

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"holdfast"
)

func someIdentity(node holdfast.NodeID) *Identity {
	return &Identity{
		Cluster: ID{1, 2, 3}, Name: "shop", Node: node, Members: []holdfast.NodeID{1, 2, 3},
		Store: [16]byte{9, byte(node)},
	}
}

// joinedIdentity is that of node 4, which has joined in the place of node 2.
func joinedIdentity() *Identity {
	return &Identity{
		Cluster: ID{1, 2, 3}, Name: "shop", Node: 4, Members: []holdfast.NodeID{1, 3, 4}, Store: [16]byte{9, 4},
		Replaces: 2,
		Met: []Member{
			{"10.0.0.1:7100", Incarnation{1}}, {"10.0.0.3:7100", Incarnation{3}}, {"10.0.0.4:7100", Incarnation{4}},
		},
	}
}

// addedIdentity is that of node 5, which has joined beside three others.
func addedIdentity() *Identity {
	is := joinedIdentity()
	is.Replaces, is.Added, is.Node, is.Members = 0, true, 5, []holdfast.NodeID{1, 3, 4, 5}
	is.Met = append(is.Met, Member{"10.0.0.5:7100", Incarnation{5}})
	return is
}

func TestIdentitiesAreReadAsTheyWereWritten(t *testing.T) {
	for _, want := range []*Identity{someIdentity(2), metIdentity(2), joinedIdentity(), addedIdentity()} {
		got, err := decode(want.encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	const want = `node 2 of the 3 nodes of cluster "shop" (01020300000000000000000000000000)`
	if got := someIdentity(2).String(); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := joinedIdentity().Self(); got.Addr != "10.0.0.4:7100" {
		t.Errorf("got %v; want node 4, which has joined", got)
	}
	if one, two := NewID(), NewID(); one == two {
		t.Error("got one ID twice; want random ones")
	}
}

// Each byte of the file is changed in three ways, and the file is cut at each length: all of it is
// noticed.
func TestDamagedIdentities(t *testing.T) {
	for _, is := range []*Identity{someIdentity(1), metIdentity(1), joinedIdentity(), addedIdentity()} {
		testDamaged(t, is.encode())
	}
}

func testDamaged(t *testing.T, whole []byte) {
	try := func(text []byte, what string, at int) {
		t.Helper()
		if got, err := decode(text); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%s at byte %d: got %v, %v; want Corrupt", what, at, got, err)
		}
	}
	for i := range whole {
		for _, change := range []byte{1, 0x20, 0x80} {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= change
			try(damaged, "changed", i)
		}
		try(whole[:i], "cut", i)
		try(append(append([]byte(nil), whole[:i]...), whole[i:len(whole)-1]...), "shortened", i)
	}
	try(append(whole, ' '), "longer", len(whole))
	swap := strings.NewReplacer(`"node": 1`, `"node": 2`, `"replaces": 2`, `"replaces": 1`, `"node": 5`, `"node": 4`)
	other := swap.Replace(string(whole))
	try([]byte(other), "another node", 0) // valid, but for its checksum
	later := regexp.MustCompile(`"version": \d`).ReplaceAllString(string(whole), `"version": 5`)
	if _, err := decode([]byte(later)); err == nil || !strings.Contains(err.Error(), "its version is 5") {
		t.Errorf("got %v; want that the version isn't known", err)
	}
}

func TestIdentitiesThatCannotBe(t *testing.T) {
	for fault, change := range map[string]func(*Identity){
		"no ID":              func(is *Identity) { is.Cluster = ID{} },
		"isn't one of":       func(is *Identity) { is.Node = 4 },
		"can't have":         func(is *Identity) { is.Members = []holdfast.NodeID{2, 1} },
		"can't have the mem": func(is *Identity) { is.Members = []holdfast.NodeID{1, 1} },
		"at most 64":         func(is *Identity) { is.Name = strings.Repeat("x", 65) },
		"members; at most":   func(is *Identity) { is.Members = make([]holdfast.NodeID, 65) },
		"the IDs 1 to 2":     func(is *Identity) { is.Met = metIdentity(1).Met[:2] },
		"the IDs 1 to 3":     func(is *Identity) { is.Met, is.Members[2] = metIdentity(1).Met, 4 },
		"node 2 can't":       func(is *Identity) { is.Met = metIdentity(1).Met; is.Met[1] = is.Met[0] },
		"node 3 can't":       func(is *Identity) { is.Met = metIdentity(1).Met; is.Met[2].Addr = "" },
		"node 1 can't":       func(is *Identity) { is.Met = metIdentity(1).Met; is.Met[0].Incarnation = Incarnation{} },
		"of node 1":          func(is *Identity) { *is = *joinedIdentity(); is.Replaces = 1 },
		"of node 5":          func(is *Identity) { *is = *joinedIdentity(); is.Replaces = 5 },
		"node 3 of":          func(is *Identity) { *is = *joinedIdentity(); is.Node = 3 },
		"node 4 of":          func(is *Identity) { *is = *addedIdentity(); is.Node = 4 },
		"node 5 of":          func(is *Identity) { *is = *addedIdentity(); is.Replaces = 2 },
		"can't have joined":  func(is *Identity) { *is = *addedIdentity(); is.Met = is.Met[:3] },
		"of [1 3 4] can't":   func(is *Identity) { *is = *joinedIdentity(); is.Met = nil },
	} {
		is := someIdentity(1)
		change(is)
		if err := is.Check(); !errors.Is(err, holdfast.Invalid) || !strings.Contains(err.Error(), fault) {
			t.Errorf("got %v; want Invalid and %q", err, fault)
		}
		if _, err := decode(is.encode()); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%q: got %v from disk; want Corrupt", fault, err)
		}
	}
}

func TestMatch(t *testing.T) {
	is := someIdentity(2)
	for _, test := range []struct {
		name    string
		node    holdfast.NodeID
		members []holdfast.NodeID
		want    string
	}{
		{"shop", 2, []holdfast.NodeID{1, 2, 3}, ""},
		{"till", 2, []holdfast.NodeID{1, 2, 3}, `cluster.name is "till"`},
		{"shop", 1, []holdfast.NodeID{1, 2, 3}, "cluster.node is 1"},
		{"shop", 2, []holdfast.NodeID{1, 2}, "[1 2]"},
	} {
		err := is.Match(test.name, test.node, test.members)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v; want %q", test, err, test.want)
		}
	}
}

func TestTransfers(t *testing.T) {
	led := []holdfast.ShardID{3, 5}
	for _, test := range []struct {
		leader holdfast.NodeID
		want   []holdfast.ShardID
	}{{0, nil}, {1, nil}, {2, led}} {
		if got := Transfers(test.leader, 1, func() []holdfast.ShardID { return led }); !reflect.DeepEqual(got, test.want) {
			t.Errorf("leader %d: got %v; want %v", test.leader, got, test.want)
		}
	}
}
