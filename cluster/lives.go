package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A Life of a node is one of its starts, until the next. By its lives, the other nodes tell a
// node's directory from an older copy of it, which lacks what the node has promised them since:
//
//	directory   life 1   life 2   life 3 …
//	              mark a   mark b   mark c   what the others know: life 3, mark c, progress 70
//	a copy      life 1   life 2 | life 3'    another mark: refused
//	a copy      life 1   life 2   life 3 | life 4', which began with progress 40: refused
type Life struct {
	Number   uint64 // from 1
	Mark     [8]byte
	Progress uint64 // of the store when the life began, see Lives.Begin; of another node: the greatest heard
}

const (
	livesName    = "cluster.lives"
	livesVersion = 1
	maxLives     = 256 // that a directory remembers
)

// Lives are what a node's directory knows of its own lives, and of the newest of each other node.
// The methods may be called concurrently.
type Lives struct {
	fs  vfs.FS
	dir string
	is  *Identity

	mu      sync.Mutex               // guards what follows
	own     []Life                   // by rising number; the last is the present one
	now     uint64                   // progress of the present one
	seen    map[holdfast.NodeID]Life // of the other nodes
	unsaved bool                     // the file lacks something of seen
	refused string                   // why another node has refused this directory; "": none has
	gone    string                   // why this node is none of the cluster any more; "": it is one
	differs string                   // how its tables differ from those of a majority; "": not that this is known
}

// A livesForm is a directory's Lives as they are on disk.
type livesForm struct {
	Version int             `json:"version"`
	Cluster string          `json:"cluster"`
	Node    holdfast.NodeID `json:"node"`
	Own     []lifeForm      `json:"own"`
	Seen    []lifeForm      `json:"seen,omitempty"` // by rising Node
	Refused string          `json:"refused,omitempty"`
	Gone    string          `json:"gone,omitempty"`
	Differs string          `json:"differs,omitempty"`
	Sum     string          `json:"crc32c"` // of the form with "" here
}

type lifeForm struct {
	Node     holdfast.NodeID `json:"node,omitempty"` // of those seen
	Number   uint64          `json:"number"`
	Mark     string          `json:"mark"`
	Progress uint64          `json:"progress"`
}

// OpenLives reads the lives of a node's directory; there are none before its first start. The error
// is Corrupt if the file isn't what was written, and Invalid if another node has refused the
// directory, the node was replaced, or its tables differ from those of the others.
func OpenLives(fs vfs.FS, dir string, is *Identity) (*Lives, error) {
	l := &Lives{fs: fs, dir: dir, is: is, seen: map[holdfast.NodeID]Life{}}
	path := fs.PathJoin(dir, livesName)
	text, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = l.decode(text)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case l.gone != "":
		return nil, l.replaced(l.gone)
	case l.refused != "":
		return nil, l.outdated(l.refused)
	case l.differs != "":
		return nil, l.differing(l.differs)
	}
	return l, nil
}

// outdated returns the error of a directory that another node has refused.
func (l *Lives) outdated(why string) error {
	return refuse("%s, that of %v, is an older copy: %s. It lacks what the node has promised the others, so that "+
		"acknowledged writes could be lost: put the directory back as it was when the node ended last. Only if copies "+
		"of the directories of all nodes are put back, remove %s from each of them", l.dir, l.is, why, livesName)
}

// encode returns the file. mu is held, or nobody else has l.
func (l *Lives) encode() []byte {
	f := livesForm{Version: livesVersion, Cluster: l.is.Cluster.String(), Node: l.is.Node, Refused: l.refused,
		Gone: l.gone, Differs: l.differs}
	for _, life := range l.own {
		f.Own = append(f.Own, life.form(0))
	}
	for _, id := range slices.Sorted(maps.Keys(l.seen)) {
		life := l.seen[id]
		f.Seen = append(f.Seen, life.form(id))
	}
	f.Sum = sumOf(&f)
	return encodeForm(&f)
}

func (life *Life) form(node holdfast.NodeID) lifeForm {
	return lifeForm{Node: node, Number: life.Number, Mark: hex.EncodeToString(life.Mark[:]), Progress: life.Progress}
}

// decode sets what the file has. Only what encode returns for it is accepted.
func (l *Lives) decode(text []byte) error {
	var f livesForm
	if err := json.Unmarshal(text, &f); err != nil {
		return corrupt("it can't be read: %v", err)
	}
	for _, x := range append(f.Own, f.Seen...) {
		life := Life{Number: x.Number, Progress: x.Progress}
		if n, err := hex.Decode(life.Mark[:], []byte(x.Mark)); err != nil || n != len(life.Mark) {
			return corrupt("%q isn't a mark", x.Mark)
		}
		if x.Node == 0 {
			l.own = append(l.own, life)
		} else {
			l.seen[x.Node] = life
		}
	}
	l.refused, l.gone, l.differs = f.Refused, f.Gone, f.Differs
	if !bytes.Equal(l.encode(), text) || !risingLives(l.own) {
		return corrupt("its version or checksum is wrong, or it is another node's: it was damaged, or changed by hand")
	}
	return nil
}

// risingLives reports whether lives can be those of a node: none is missing between the first and
// the last, and a store never goes back.
func risingLives(all []Life) bool {
	for i := range all {
		if all[i].Number == 0 || i > 0 && (all[i].Number != all[i-1].Number+1 || all[i].Progress < all[i-1].Progress) {
			return false
		}
	}
	return len(all) > 0 && len(all) <= maxLives
}

// save writes the file. mu is held.
func (l *Lives) save() error {
	l.unsaved = false
	err := writeFile(l.fs, l.dir, livesName, l.encode())
	l.unsaved = err != nil
	return err
}

// Begin begins a life. progress is that of the store as it was found: a number that rises with what
// is on disk, and that the directory can't have lost. When Begin returns, the life is on disk: so
// the node may say it to others.
func (l *Lives) Begin(progress uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := Life{Number: 1, Progress: progress}
	_, _ = rand.Read(next.Mark[:]) // never fails
	if n := len(l.own); n > 0 {
		next.Number = l.own[n-1].Number + 1
		if progress < l.own[n-1].Progress {
			return holdfast.Errorf(holdfast.Corrupt, "%s: the tables have made %d steps, and had made %d before the "+
				"start before this one: they are an older copy; put the directory back as it was", l.dir, progress,
				l.own[n-1].Progress)
		}
	}
	l.own = append(l.own, next)
	l.own = l.own[max(0, len(l.own)-maxLives):]
	l.now = progress
	return l.save()
}

// Advance notes how far this node's store has got on disk, and returns what to tell the others; nil
// if that is no news.
func (l *Lives) Advance(progress uint64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if progress <= l.now {
		return nil
	}
	l.now = progress
	present := l.own[len(l.own)-1]
	return binary.AppendUvarint(binary.AppendUvarint([]byte{livesVersion}, present.Number), progress)
}

// Hear takes what another node has told about its store, by Advance.
func (l *Lives) Hear(from holdfast.NodeID, told []byte) {
	r := livesReader{rest: told}
	known, number, progress := r.byte() == livesVersion, r.uvarint(), r.uvarint()
	l.mu.Lock()
	defer l.mu.Unlock()
	if life := l.seen[from]; known && !r.bad && life.Number == number && life.Progress < progress {
		life.Progress = progress
		l.seen[from], l.unsaved = life, true
	}
}

// Save writes what was heard of other nodes since it was called before.
func (l *Lives) Save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.unsaved {
		return nil
	}
	return l.save()
}

// Statement returns what this node says of its lives to another: see docs/formats.md.
func (l *Lives) Statement() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := binary.AppendUvarint([]byte{livesVersion}, uint64(len(l.own)))
	for _, life := range l.own {
		b = binary.AppendUvarint(b, life.Number)
		b = append(b, life.Mark[:]...)
		b = binary.AppendUvarint(b, life.Progress)
	}
	return binary.AppendUvarint(b, l.now)
}

// Judge takes what another node says of its lives. The error is Refused if its directory is an
// older copy of the one that this node knows, and Invalid if the statement is garbled. When Judge
// returns no error, the life is on disk as the newest.
func (l *Lives) Judge(from holdfast.NodeID, statement []byte) error {
	all, now, err := parseStatement(statement)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.seen[from]
	if ok {
		if why := known.contradicts(all, now); why != "" {
			return holdfast.Errorf(holdfast.Refused, "node %d knows node %d from start %d on, and %s", l.is.Node, from,
				known.Number, why)
		}
	}
	newest := all[len(all)-1]
	if newest.Progress = max(now, known.Progress); ok && newest.Number == known.Number {
		l.unsaved = l.unsaved || newest != known
		l.seen[from] = newest
		return nil
	}
	l.seen[from] = newest
	return l.save()
}

// contradicts says why a node that this life is known of can't have these lives now; "": it can. A
// node that was started more often since than it remembers is believed.
func (known *Life) contradicts(all []Life, now uint64) string {
	newest := all[len(all)-1]
	i := slices.IndexFunc(all, func(x Life) bool { return x.Number == known.Number })
	switch {
	case newest.Number < known.Number:
		return fmt.Sprintf("its directory has been started %d times", newest.Number)
	case i < 0:
		return ""
	case all[i].Mark != known.Mark:
		return fmt.Sprintf("its directory's start of that number is another one, %x and not %x", all[i].Mark,
			known.Mark)
	}
	since := now
	if i+1 < len(all) {
		since = all[i+1].Progress
	}
	if since < known.Progress {
		return fmt.Sprintf("its tables had made %d steps then, and have made %d at its next start", known.Progress,
			since)
	}
	return ""
}

func parseStatement(b []byte) (all []Life, now uint64, err error) {
	r := livesReader{rest: b}
	version := r.byte()
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		life := Life{Number: r.uvarint()}
		copy(life.Mark[:], r.bytes(len(life.Mark)))
		life.Progress = r.uvarint()
		all = append(all, life)
	}
	now = r.uvarint()
	if r.bad || len(r.rest) > 0 || version != livesVersion || !risingLives(all) || now < all[len(all)-1].Progress {
		return nil, 0, holdfast.Errorf(holdfast.Invalid, "what a node says of its starts is garbled")
	}
	return all, now, nil
}

// Refuse notes that another node has refused this directory, so that no later start serves it. It
// returns the error for whoever runs the node.
func (l *Lives) Refuse(why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = why
	return errors.Join(l.outdated(why), l.save())
}

// Replaced notes that this node is none of the cluster any more, so that no later start serves its
// directory. It returns the error for whoever runs the node.
func (l *Lives) Replaced(why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = why
	return errors.Join(l.replaced(why), l.save())
}

// replaced returns the error of the directory of a node that was replaced.
func (l *Lives) replaced(why string) error {
	return refuse("%s is that of %v, and %s: it takes part no more, and has nothing that the cluster lacks. To run a "+
		"new node here, empty the directory, and start it: with --replace ID in the place of one that is lost for "+
		"good, or without it as one more", l.dir, l.is, why)
}

// Differ notes that what the directory has differs from what a majority of the nodes has, so that no
// later start serves it. It returns the error for whoever runs the node.
func (l *Lives) Differ(how string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.differs = how
	return errors.Join(l.differing(how), l.save())
}

// differing returns the error of a directory whose tables differ from those of the other nodes.
func (l *Lives) differing(how string) error {
	return refuse("%s, that of %v, doesn't have what the other nodes have: %s. The node has ended, and isn't started "+
		"again with this directory, which is kept as it is: keep a copy, so that the cause can be found (\"holdfast "+
		"table check %s\" may name it), and have the machine's disk and memory checked. The other nodes go on as a "+
		"majority. Then have a new node take its place: \"holdfast node --replace %d\", with an empty directory",
		l.dir, l.is, how, l.dir, l.is.Node)
}

// A livesReader reads the parts of a statement.
type livesReader struct {
	rest []byte
	bad  bool // a part was missing
}

func (r *livesReader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.bad = nil, true
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *livesReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *livesReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
