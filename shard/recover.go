package shard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// asideDir is the directory, within a store's, in which each recovery keeps what it drops in a
// directory of its own.
const asideDir = "lost"

// A Recovery is what keeps a store from starting, and what a start would lose.
type Recovery struct {
	Faults        []Fault                     // none: the store starts as it is
	Unrecoverable bool                        // only a backup helps, and nothing is done; Faults has the reason
	Cut           []CutLog                    // the logs of which something is dropped, in order
	Again         []string                    // files that are created again, which costs nothing
	Orphans       []holdfast.ShardID          // shards that the remaining catalog doesn't name; they are removed
	Strays        []holdfast.SpaceID          // spaces with keys that no remaining shard has; those are removed
	Names         map[holdfast.ShardID]string // of the shards that remain
	Aside         string                      // the directory with what was dropped, within the store's; "": nothing was
	Done          bool
}

// A CutLog is a log of which something is dropped. Logs have the last commits, which aren't in
// sorted tables yet.
type CutLog struct {
	File    string                     // within the store's directory
	Missing bool                       // there is no such file
	Kept    int64                      // bytes from its beginning
	Dropped int64                      // bytes that are, or were, behind those
	Commits int64                      // that are dropped, as far as they can be read
	Items   map[holdfast.ShardID]int64 // writes of items in those
}

// A Namer returns the names of the shards in a store's catalog. It may read records, and nothing
// else.
type Namer func(*Store) (map[holdfast.ShardID]string, error)

// Recover inspects a directory that no store has open, and reports what is wrong and what would be
// dropped. With accept it does the recovery: the store is then as it was after a commit before all
// damage, as if restored from a backup. What is dropped is kept in another directory.
func Recover(o Options, accept bool, names Namer) (r Recovery, err error) {
	o.setDefaults()
	if _, err := o.FS.Stat(o.Dir); err != nil {
		return r, openFault(err)
	}
	v := recovering{o: o, names: names, r: &r}
	if v.lock, err = lockIfThere(o); err != nil {
		return r, openFault(err)
	}
	defer func() {
		if v.lock != nil {
			err = errors.Join(err, v.lock.Close())
		}
	}()
	if v.in, err = inspect(o, v.lock); err != nil {
		return r, openFault(err)
	}
	usable, err := v.plan()
	if err != nil || !usable || !accept || len(r.Faults) == 0 {
		return r, err
	}
	if err := v.repair(); err != nil {
		return r, openFault(err)
	}
	r.Done = true
	return r, nil
}

// A recovering is a recovery in progress.
type recovering struct {
	o     Options
	names Namer
	lock  *pebble.Lock
	in    *inspection
	r     *Recovery
	id    [16]byte

	strays []pebble.KeyRange // where those of Recovery.Strays are
	former bool              // the records are where format 1 has them
}

// version returns the version of a control file that is written in place of one that can't be read.
func (v *recovering) version() uint32 {
	if v.former {
		return firstVersion
	}
	return controlVersion
}

// plan finds what is wrong and what would be dropped. It returns false if nothing can be done.
func (v *recovering) plan() (usable bool, err error) {
	v.r.Faults = v.in.faults()
	if v.r.Unrecoverable = v.in.unrecoverable(); v.r.Unrecoverable || v.in.state == dirEmpty ||
		v.in.state == dirInitializing {
		return false, nil
	}
	left, err := v.in.openRemainder(v.in.rest())
	if err != nil {
		v.r.Faults = append(v.r.Faults, Fault{Kind: "file", Text: err.Error()})
		v.r.Unrecoverable = true
		return false, nil
	}
	for _, name := range v.in.missingMarkers() {
		v.r.Again = append(v.r.Again, v.in.pebble(name))
	}
	err = v.look(left)
	if err = errors.Join(err, left.engine.db.Close()); err != nil {
		return false, err
	}
	return true, v.cut()
}

// look reads what remains.
func (v *recovering) look(left *Store) (err error) {
	id, ok, err := left.identity()
	if err != nil {
		return err
	}
	v.former = left.former
	switch {
	case v.in.control != nil:
		v.id = v.in.control.id
	case ok:
		copy(v.id[:], id)
	default:
		v.id = newID()
	}
	if v.in.state == dirLegacy && ok {
		v.r.Faults = append(v.r.Faults, missingControl().fault())
	}
	if v.in.control == nil && len(v.r.Faults) > 0 {
		v.r.Again = append(v.r.Again, controlName)
	}
	if v.r.Names, err = v.names(left); err != nil {
		return err
	}
	if v.r.Orphans, v.r.Strays, v.strays, err = left.engine.orphans(v.r.Names); err != nil {
		return err
	}
	return left.engine.eachFormer(func(id holdfast.ShardID) error {
		if _, named := v.r.Names[id]; !named && !slices.Contains(v.r.Orphans, id) {
			v.r.Orphans = append(v.r.Orphans, id)
		}
		return nil
	})
}

// cut finds what is dropped of each log.
func (v *recovering) cut() error {
	broken := false
	for _, l := range v.in.logs {
		foreign := l.foreign(v.in)
		if !l.damaged && !broken {
			continue
		}
		c := CutLog{File: v.in.pebble(logName(l.num)), Missing: l.scan == nil, Kept: l.keep}
		if broken || foreign {
			c.Kept, l.keep = 0, 0
		}
		broken = broken || !foreign
		l.damaged = true
		if err := v.count(l, &c); err != nil {
			return err
		}
		v.r.Cut = append(v.r.Cut, c)
	}
	return nil
}

// count counts what is dropped of a log.
func (v *recovering) count(l *neededLog, c *CutLog) error {
	if c.Missing {
		c.Dropped = l.bytes
		return nil
	}
	path := v.in.fs.PathJoin(v.in.engine, logName(l.num))
	c.Dropped = max(l.bytes, l.scan.end+l.tail.bytes) - c.Kept
	dropped := commitCounts{}
	if c.Kept == 0 {
		if _, err := scanFile(v.in.fs, path, l.extent, dropped.add); err != nil {
			return err
		}
	}
	if l.tail.stray >= 0 {
		if err := countStray(v.in.fs, path, l.num, l.tail.stray, l.scan.size, &dropped); err != nil {
			return err
		}
	}
	c.Commits, c.Items = dropped.batches, dropped.items
	return nil
}

func missingControl() defect {
	return defect{file: controlName, text: "is missing, so that it isn't known what else is", repair: repairControl}
}

// fault returns the defect as a check reports it.
func (d defect) fault() Fault { return Fault{Kind: "file", Text: d.String()} }

func (in *inspection) faults() []Fault {
	var all []Fault
	for _, d := range in.defects {
		all = append(all, d.fault())
	}
	return all
}

// unrecoverable reports whether no recovery is possible.
func (in *inspection) unrecoverable() bool {
	for _, d := range in.defects {
		if d.repair == repairNone {
			return true
		}
	}
	return false
}

var errUnrepaired = errors.New("the repair wasn't complete")

// verify inspects the directory again.
func (v *recovering) verify() error {
	in, err := inspect(v.o, v.lock)
	if err != nil {
		return err
	}
	if len(in.defects) > 0 {
		return fmt.Errorf("%w: %v", errUnrepaired, in.defects[0])
	}
	return nil
}
