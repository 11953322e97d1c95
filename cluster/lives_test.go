package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

func livesOf(t *testing.T, fs vfs.FS, node holdfast.NodeID) *Lives {
	t.Helper()
	if err := makeDir(fs, "data"); err != nil {
		t.Fatal(err)
	}
	is := &Identity{Cluster: ID{7}, Name: "shop", Node: node, Members: []holdfast.NodeID{1, 2, 3}}
	l, err := OpenLives(fs, "data", is)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A directory is a node's, with what has happened to it, or to the one of which it is a copy: each
// start and each step of its store is an event of its own.
type directory struct {
	fs       *vfs.MemFS
	progress uint64
	events   map[int]bool
	newest   int // event
}

func (d *directory) clone() *directory {
	c := &directory{d.fs.CrashClone(vfs.CrashCloneCfg{}), d.progress, map[int]bool{}, d.newest}
	for e := range d.events {
		c.events[e] = true
	}
	return c
}

// A node whose directory may be put back from any copy, at any time, is refused exactly if the
// directory lacks something that the other node knows of it: however often it was started
// meanwhile, and although the other one has forgotten what it hadn't written down.
func TestOlderCopiesAreRefused(t *testing.T) {
	refusals, welcomes := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		d, copies := &directory{fs: vfs.NewCrashableMem(), events: map[int]bool{}}, []*directory{}
		otherFS := vfs.NewCrashableMem()
		other := livesOf(t, otherFS, 2)
		if err := other.Begin(0); err != nil {
			t.Fatal(err)
		}
		var l *Lives // nil: the node doesn't run
		connected, event := false, 0
		known, saved := 0, 0 // the newest event of the node that the other knows, or would after a restart
		happen := func() {
			event++
			d.events[event], d.newest = true, event
		}
		for step := range 40 {
			switch rng.IntN(8) {
			case 0, 1:
				l, connected = livesOf(t, d.fs, 1), false
				if err := l.Begin(d.progress); err != nil {
					t.Fatal(err)
				}
				happen()
			case 2, 3:
				if l == nil {
					continue
				}
				d.progress++
				happen()
				if told := l.Advance(d.progress); told == nil {
					t.Fatalf("seed %d: got nothing to tell", seed)
				} else if connected {
					other.Hear(1, told)
					known = event
				}
			case 4:
				copies = append(copies, d.clone())
			case 5:
				if len(copies) > 0 {
					d, l = copies[rng.IntN(len(copies))].clone(), nil
				}
			case 6:
				if rng.IntN(2) == 0 {
					if err := other.Save(); err != nil {
						t.Fatal(err)
					}
					saved = known
				}
				otherFS = otherFS.CrashClone(vfs.CrashCloneCfg{})
				other, known, connected = livesOf(t, otherFS, 2), saved, false
			default:
				if l == nil {
					continue
				}
				was := other.seen[1].Number
				err := other.Judge(1, l.Statement())
				want := known != 0 && !d.events[known]
				if want != errors.Is(err, holdfast.Refused) || !want && err != nil {
					t.Fatalf("seed %d, step %d: got %v; want it refused: %t", seed, step, err, want)
				} else if want {
					refusals++
					continue
				}
				welcomes++
				known, connected = d.newest, true
				if other.seen[1].Number != was {
					saved = known
				}
			}
		}
	}
	if refusals < 100 || welcomes < 100 {
		t.Errorf("got %d refusals and %d welcomes; want many of both", refusals, welcomes)
	}
}

// A directory that was refused isn't started again. The refusal is in the directory: the newer one,
// put back, starts.
func TestRefusedDirectory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := livesOf(t, fs, 1)
	if err := l.Begin(5); err != nil {
		t.Fatal(err)
	}
	newer := fs.CrashClone(vfs.CrashCloneCfg{})
	for _, word := range []string{"node 2 knows more", "older copy", "put the directory back", "cluster.lives"} {
		if err := l.Refuse("node 2 knows more"); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got %v; want a word of %q", err, word)
		}
	}
	if _, err := OpenLives(fs.CrashClone(vfs.CrashCloneCfg{}), "data", l.is); !errors.Is(err, holdfast.Invalid) ||
		!strings.Contains(err.Error(), "node 2 knows more") {
		t.Errorf("the next start: got %v; want why it was refused", err)
	}
	livesOf(t, newer, 1)
}

// The directory of a node that was replaced isn't started again, whatever else is known of it.
func TestReplacedDirectory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := livesOf(t, fs, 1)
	if err := l.Begin(5); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(l.Refuse("node 2 knows more"), l.Replaced("node 4 has taken its place"))
	_, again := OpenLives(fs.CrashClone(vfs.CrashCloneCfg{}), "data", l.is)
	for _, err := range []error{err, again} {
		if !errors.Is(err, holdfast.Invalid) || !strings.Contains(err.Error(), "node 4 has taken its place") {
			t.Errorf("got %v; want Invalid, and what has taken its place", err)
		}
	}
	if strings.Contains(again.Error(), "older copy") {
		t.Errorf("got %v; want no advice to put back what nobody needs", again)
	}
}

// A directory whose tables differ from the others' isn't started again, in the same words.
func TestDifferingDirectory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := livesOf(t, fs, 1)
	if err := l.Begin(5); err != nil {
		t.Fatal(err)
	}
	said := l.Differ("shard 3 as of 3/4/5")
	for _, word := range []string{"shard 3 as of 3/4/5", "node 1", "kept", "table check data"} {
		if said == nil || !strings.Contains(said.Error(), word) {
			t.Errorf("got %v; want %q in it", said, word)
		}
	}
	_, err := OpenLives(fs.CrashClone(vfs.CrashCloneCfg{}), "data", l.is)
	if !errors.Is(err, holdfast.Invalid) || err.Error() != said.Error() {
		t.Errorf("the next start: got %v; want %v", err, said)
	}
}

// A directory whose tables are older than its lives is refused without another node.
func TestLivesBesideOlderTables(t *testing.T) {
	fs := vfs.NewMem()
	if err := livesOf(t, fs, 1).Begin(9); err != nil {
		t.Fatal(err)
	}
	if err := livesOf(t, fs, 1).Begin(8); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("got %v; want %v", err, holdfast.Corrupt)
	}
}

// Of the lives, the newest are kept, and a node is known by one of them.
func TestLivesAreBounded(t *testing.T) {
	fs := vfs.NewMem()
	other := livesOf(t, vfs.NewMem(), 2)
	for i := range maxLives + 20 {
		l := livesOf(t, fs, 1)
		if err := l.Begin(uint64(i)); err != nil {
			t.Fatal(err)
		}
		if n := len(l.own); n > maxLives {
			t.Fatalf("got %d lives; want at most %d", n, maxLives)
		}
		if err := other.Judge(1, l.Statement()); err != nil {
			t.Errorf("start %d: got %v; want it welcome", i, err)
		}
		if n := len(l.Statement()); n > 32<<10 || len(l.encode()) > maxFormBytes {
			t.Fatalf("got a statement of %d bytes, and a file of %d", n, len(l.encode()))
		}
	}
}

// A file that was changed in any byte, or is another node's, is refused; and so is a statement that
// was cut.
func TestDamagedLives(t *testing.T) {
	fs := vfs.NewMem()
	l := livesOf(t, fs, 1)
	for i := range 3 {
		if err := l.Begin(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	other := livesOf(t, vfs.NewMem(), 2)
	if err := l.Judge(3, func() []byte {
		three := livesOf(t, vfs.NewMem(), 3)
		if err := three.Begin(1); err != nil {
			t.Fatal(err)
		}
		return three.Statement()
	}()); err != nil {
		t.Fatal(err)
	}
	if err := other.Judge(1, l.Statement()); err != nil {
		t.Fatal(err)
	}
	whole := l.encode()
	for at := range whole {
		text := append([]byte(nil), whole...)
		text[at] ^= 1
		again := &Lives{fs: fs, dir: "data", is: l.is, seen: map[holdfast.NodeID]Life{}}
		if err := again.decode(text); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("byte %d (%q): got %v; want %v", at, whole[max(0, at-10):at+1], err, holdfast.Corrupt)
		}
	}
	for _, is := range []*Identity{{Cluster: ID{8}, Node: 1}, {Cluster: ID{7}, Node: 2}} {
		if _, err := OpenLives(fs, "data", is); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("of node %d of cluster %v: got %v; want %v", is.Node, is.Cluster, err, holdfast.Corrupt)
		}
	}
	said := l.Statement()
	for n := range said {
		if err := other.Judge(1, said[:n]); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%d of %d bytes: got %v; want %v", n, len(said), err, holdfast.Invalid)
		}
	}
	if err := other.Judge(1, append(said, 0)); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a byte more: got %v; want %v", err, holdfast.Invalid)
	}
	if got := fmt.Sprint(other.seen[1].Number); got != "3" {
		t.Errorf("got start %s; want 3", got)
	}
}
