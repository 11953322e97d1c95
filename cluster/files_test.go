package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// crash returns what a loss of power leaves of a disk: what was synced.
func crash(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 1))})
}

// expect looks at a directory, after a loss of power, too.
func expect(t *testing.T, fs *vfs.MemFS, dir string, state State, is *Identity) {
	t.Helper()
	for _, disk := range []*vfs.MemFS{fs, crash(fs)} {
		got, err := Look(disk, dir)
		if err != nil || got.State != state || !reflect.DeepEqual(got.Is, is) {
			t.Fatalf("%s: got state %d, %v, %v; want state %d, %v", dir, got.State, got.Is, err, state, is)
		}
	}
}

// Each step is on disk when it returns, with the directories above.
func TestIdentitiesAreOnDisk(t *testing.T) {
	fs := vfs.NewCrashableMem()
	dir := "/var/lib/holdfast/2"
	is := someIdentity(2)
	expect(t, fs, dir, Empty, nil)
	if got, err := Read(fs, dir); got != nil || err != nil {
		t.Errorf("got %v, %v of a directory that isn't there; want none", got, err)
	}
	for range 2 { // as after a crash
		if err := Prepare(fs, dir, is); err != nil {
			t.Fatal(err)
		}
		expect(t, fs, dir, Forming, is)
	}
	if err := Commit(fs, dir); err != nil {
		t.Fatal(err)
	}
	expect(t, fs, dir, Formed, is)
	if err := Prepare(fs, dir, someIdentity(3)); err != nil {
		t.Fatal(err)
	}
	if err := Commit(fs, dir); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second identity: got %v; want it refused", err)
	}
	expect(t, fs, dir, Formed, is)
	if err := Prepare(fs, dir, &Identity{}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("an identity that can't be: got %v; want Invalid", err)
	}
}

func write(t *testing.T, fs vfs.FS, path, text string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedIdentityIsLeftAlone(t *testing.T) {
	for _, name := range []string{identityName, formingName} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/d", 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, fs, "/d/"+name, "{}")
		if _, err := Look(fs, "/d"); !errors.Is(err, holdfast.Corrupt) || !strings.Contains(err.Error(), "/d/"+name) {
			t.Errorf("got %v; want Corrupt and the file's name", err)
		}
	}
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, fs, "/d/"+identityName, "{}")
	if err := Commit(fs, "/d"); err == nil {
		t.Error("got a new identity over a damaged one; want it refused")
	}
}

func TestPlan(t *testing.T) {
	is := func(node holdfast.NodeID) *Identity { return someIdentity(node) }
	formed := func(node holdfast.NodeID) Found {
		return Found{Dir: fmt.Sprint("D/", node), State: Formed, Is: is(node), Tables: true}
	}
	forming := func(node holdfast.NodeID) Found {
		f := formed(node)
		f.State = Forming
		return f
	}
	empty := Found{Dir: "D/9"}
	other := Found{Dir: "D/9", State: Other, Name: "pebble", Tables: true}
	foreign := Found{Dir: "D/9", State: Other, Name: "photos"}
	bare := formed(2)
	bare.Tables = false
	made := forming(2) // before its store is made
	made.Tables = false
	met := Found{Dir: "D/2", State: Forming, Is: metIdentity(2)}
	stranger := formed(2)
	stranger.Is.Cluster = ID{7}
	for _, test := range []struct {
		what  string
		found []Found
		step  Step
		want  string
	}{
		{"a first start", []Found{empty, empty, empty}, Form, ""},
		{"a crash in Prepare", []Found{forming(1), empty, empty}, Form, ""},
		{"a crash before Commit", []Found{forming(1), forming(2), forming(3)}, Form, ""},
		{"a crash in Commit", []Found{formed(1), forming(2), forming(3)}, Finish, ""},
		{"later", []Found{formed(1), formed(2), formed(3)}, Start, ""},
		{"an emptied directory", []Found{formed(1), empty, formed(3)}, 0, "D/9 is empty or missing, but D/1 is"},
		{"a majority is left", []Found{formed(1), empty, formed(3)}, 0, "or start the other nodes one by one"},
		{"two are emptied", []Found{empty, {Dir: "D/8"}, formed(3)}, 0, "D/9 and D/8 are empty or missing, but D/3 is"},
		{"no majority is left", []Found{empty, empty, formed(3)}, 0, "their directories are no majority"},
		{"one emptied, one without tables", []Found{formed(1), bare, empty}, 0, "are no majority"},
		{"an identity alone", []Found{formed(1), bare, formed(3)}, 0,
			"D/2: the tables of node 2 of the 3 nodes of cluster"},
		{"a crash before the stores", []Found{forming(1), made, empty}, Form, ""},
		{"a store lost before Commit", []Found{formed(1), made, forming(3)}, 0, "D/2: the tables of node 2"},
		{"another's files", []Found{empty, foreign, empty}, 0, "D/9 has photos in it, and no identity"},
		{"another's files beside a cluster", []Found{formed(1), foreign, formed(3)}, 0,
			"without cluster.json and tables"},
		{"the first is emptied", []Found{empty, formed(2), forming(3)}, 0, "its node would take part"},
		{"nodes that have met", []Found{empty, met, empty}, 0, "holdfast node"},
		{"a node that meets others", []Found{empty, {Dir: "D/2", State: Drawn}, empty}, 0, "holdfast node"},
		{"another cluster's", []Found{formed(1), stranger, formed(3)}, 0, "different clusters"},
		{"swapped", []Found{formed(1), formed(3), formed(2)}, 0, "should be that of node 2"},
		{"fewer nodes", []Found{formed(1)}, 0, "--nodes 3"},
		{"more nodes", []Found{formed(1), formed(2), formed(3), empty, empty}, 0, "--nodes 3"},
		{"tables of one node", []Found{empty, other, empty}, 0, "single node, choose another directory with --data"},
		{"tables beside a cluster", []Found{formed(1), other, formed(3)}, 0, "D/9 has tables, but cluster.json"},
		{"two without identities", []Found{formed(1), other, other}, 0, "D/9 and D/9 have tables, but cluster.json"},
	} {
		step, err := Plan(test.found)
		if test.want == "" {
			if err != nil || step != test.step {
				t.Errorf("%s: got step %d, %v; want %d", test.what, step, err, test.step)
			}
		} else if !errors.Is(err, holdfast.Invalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want Invalid and %q", test.what, err, test.want)
		}
	}
}
