package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// metIdentity is an identity of nodes that have met.
func metIdentity(node holdfast.NodeID) *Identity {
	is := someIdentity(node)
	is.Met = []Member{
		{"10.0.0.1:7100", Incarnation{1}}, {"10.0.0.2:7100", Incarnation{2}}, {"[::1]:7100", Incarnation{3}},
	}
	return is
}

// An incarnation is on disk before anyone can hear of it, stays the same, and is gone once the
// directory has its identity.
func TestIncarnations(t *testing.T) {
	fs := vfs.NewCrashableMem()
	const dir = "/var/lib/holdfast"
	lock, err := Lock(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	first, err := Draw(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, fs, dir, Drawn, nil)
	for _, disk := range []*vfs.MemFS{fs, crash(fs)} {
		if again, err := Draw(disk, dir); again != first || err != nil {
			t.Errorf("got %v, %v; want %v again", again, err, first)
		}
	}
	if err := Prepare(fs, dir, metIdentity(2)); err != nil {
		t.Fatal(err)
	}
	expect(t, fs, dir, Forming, metIdentity(2))
	if err := Commit(fs, dir); err != nil {
		t.Fatal(err)
	}
	expect(t, fs, dir, Formed, metIdentity(2))

	// The identity is lost: the directory doesn't count as new, and gets another incarnation.
	for _, disk := range []*vfs.MemFS{fs, crash(fs)} {
		if err := disk.Remove(dir + "/cluster.json"); err != nil {
			t.Fatal(err)
		}
		if second, err := Draw(disk, dir); second == first || err != nil {
			t.Errorf("got %v, %v; want another incarnation", second, err)
		}
	}
}

// A process was killed between Commit's two steps.
func TestCleanAfterAKill(t *testing.T) {
	fs := vfs.NewCrashableMem()
	first, err := Draw(fs, "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Prepare(fs, "/", metIdentity(1)), rename(fs, "/", formingName, identityName)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Clean(fs, "/"); err != nil {
			t.Fatal(err)
		}
	}
	disk := crash(fs)
	if got, err := Look(disk, "/"); err != nil || got.State != Formed {
		t.Errorf("got %+v, %v; want the identity", got, err)
	}
	if second, err := Draw(disk, "/"); second == first || err != nil {
		t.Errorf("got %v, %v; want no incarnation left", second, err)
	}
}

func TestDamagedIncarnations(t *testing.T) {
	whole := Incarnation{1, 2, 3}.encode()
	if got, err := decodeIncarnation(whole); got != (Incarnation{1, 2, 3}) || err != nil {
		t.Errorf("got %v, %v; want what was written", got, err)
	}
	fs := vfs.NewMem()
	for i := range whole {
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 1
		for _, text := range [][]byte{damaged, whole[:i]} {
			write(t, fs, "/"+incarnationName, string(text))
			got, err := Draw(fs, "/")
			if !errors.Is(err, holdfast.Corrupt) || !strings.Contains(err.Error(), incarnationName) {
				t.Errorf("byte %d: got %v, %v; want Corrupt", i, got, err)
			}
		}
	}
}

func TestMatchMet(t *testing.T) {
	const addr = "10.0.0.2:7100"
	for _, test := range []struct {
		name   string
		expect int
		addr   string
		want   string
	}{
		{"shop", 3, addr, ""},
		{"till", 3, addr, `cluster.name is "till"`},
		{"shop", 5, addr, "cluster.expect is 5"},
		{"shop", 3, "10.0.0.9:7100", `is "10.0.0.9:7100", and the others know the node by "10.0.0.2:7100"`},
	} {
		err := metIdentity(2).MatchMet(test.name, test.expect, test.addr)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v; want %q", test, err, test.want)
		}
	}
	if err := someIdentity(2).MatchMet("shop", 3, addr); err == nil || !strings.Contains(err.Error(), "up --nodes 3") {
		t.Errorf("got %v; want a node refused that hasn't met others", err)
	}
	err := metIdentity(2).Match("shop", 2, []holdfast.NodeID{1, 2, 3})
	if err == nil || !strings.Contains(err.Error(), "holdfast node") {
		t.Errorf("got %v; want a node refused that has met others", err)
	}
}

// The text of an incarnation is read as it was, and no other is.
func TestIncarnationsAsTexts(t *testing.T) {
	want := Incarnation{1, 0xab}
	if got, err := ParseIncarnation(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "01", want.String() + "00", "x" + want.String()[1:]} {
		if got, err := ParseIncarnation(text); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, holdfast.Corrupt)
		}
	}
}
