package shard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// Open opens the store in a directory, or creates one. The error is Corrupt if the directory can't
// be read, or isn't as it was left: then it names what is missing or damaged, and nothing was
// touched. It is Unavailable if another process has the directory open.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := newStore(o)
	dir := o.FS.PathJoin(o.Dir, engineDir)
	if o.ReadOnly || o.unreserved {
		o.ReserveBytes = 0
	}
	if !o.ReadOnly {
		if err := s.makeDir(o.FS, dir, o.Beside); err != nil {
			return nil, openFault(err)
		}
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		return nil, openFault(err)
	}
	s.lock = lock
	if err := s.open(o, dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// open opens the database in dir, which is locked.
func (s *Store) open(o Options, dir string) error {
	var in *inspection
	if !o.ReadOnly {
		var err error
		if in, err = s.admit(o); err != nil {
			return err
		}
		if err := s.emptyBuildDir(o.FS); err != nil {
			return openFault(err)
		}
	}
	s.space = newSpace(o.FS, o.Dir, o.ReserveBytes, o.Now, o.Log)
	guarded := s.space.guarded()
	s.engine.fs, s.engine.space = guarded, s.space
	if err := s.space.checkStart(dir, o.MemTableBytes); err != nil {
		return err
	}
	cache := newCache(o.CacheBytes, o.MemTableBytes)
	defer cache.Unref()
	if o.ReadOnly {
		s.engine.configure(cache, o.MemTableBytes, s.lock, true)
		return s.engine.fault("opening", s.engine.open(dir, false))
	}
	if err := s.openWritable(in, o, cache); err != nil {
		return err
	}
	s.reclaimer = &reclaimer{
		engine: s.engine, space: s.space, dir: dir, control: s.control, logs: &guarded.removed, closing: s.closing,
	}
	return nil
}

// admit inspects the directory before anything in it is touched. A new directory gets its control
// file.
func (s *Store) admit(o Options) (*inspection, error) {
	in, err := inspect(o, s.lock)
	if err != nil {
		return nil, openFault(err)
	}
	if err := in.refusal(); err != nil {
		return nil, err
	}
	in.logNotes(s.log)
	switch in.state {
	case dirEmpty:
		in.control = &control{
			version: controlVersion, id: newID(), phase: phaseMaking, boot: o.Boot, at: s.now(),
		}
		return in, openFault(makeControl(o.FS, o.Dir, in.control))
	case dirLegacy:
		if err := s.adoptable(in); err != nil {
			return nil, err
		}
		s.log.Info("the tables' directory is of an earlier version, and is taken over", "commits_in_logs", in.commits())
		in.control = &control{version: firstVersion, id: newID()}
	}
	return in, nil
}

// adoptable returns an error if a directory without a control file once had one: then its identity
// is in the database.
func (s *Store) adoptable(in *inspection) error {
	r, err := in.openRemainder(in.rest())
	if err != nil {
		return err
	}
	_, ok, err := r.identity()
	if err = errors.Join(err, r.engine.db.Close()); err == nil && ok {
		in.defects = append(in.defects, missingControl())
		err = in.refusal()
	}
	return err
}

// openWritable opens a database that has passed its inspection.
func (s *Store) openWritable(in *inspection, o Options, cache *pebble.Cache) error {
	is, err := in.accept()
	if err != nil {
		return openFault(err)
	}
	if in.state == dirLegacy {
		if err := makeControl(s.engine.fs, s.dir, is); err != nil {
			return openFault(err)
		}
	}
	l, err := openControlFile(s.engine.fs, s, is)
	if err != nil {
		return openFault(err)
	}
	s.control = l
	s.engine.fs = &watchedFS{FS: s.engine.fs, control: l, gathering: &s.engine.gathering}
	s.engine.configure(cache, o.MemTableBytes, s.lock, false)
	err = s.engine.open(s.engine.fs.PathJoin(s.dir, engineDir), is.phase != phaseMaking)
	if err == nil {
		if err = s.identify(is.id); err != nil {
			err = errors.Join(err, s.engine.db.Close())
		}
	}
	if err != nil {
		return errors.Join(s.engine.fault("opening", err), l.close(false))
	}
	return openFault(l.enter(phaseRunning, uint32(s.engine.db.FormatMajorVersion())))
}

// openFault returns the error of a directory that can't be used.
func openFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EAGAIN):
		return holdfast.Errorf(holdfast.Unavailable, "another process uses it")
	case vfs.IsNoSpaceError(err):
		return errFull()
	}
	return holdfast.Errorf(holdfast.Unavailable, "%w", err)
}

// makeDir makes the database's directory, and syncs the directories above it. A directory that has
// files but no database isn't the store's, unless they are those of Options.Beside.
func (s *Store) makeDir(fs vfs.FS, engine string, beside []string) error {
	names, err := fs.List(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names = without(names, beside)
	if len(names) > 0 && !slices.Contains(names, engineDir) && !slices.Equal(names, []string{controlPartial}) {
		if slices.Contains(names, controlName) {
			return holdfast.Errorf(holdfast.Corrupt, "the tables aren't as they were left, and nothing was touched: %s is "+
				"missing", engineDir)
		}
		return fmt.Errorf("it has %s in it, and no tables: take a directory that is empty or missing", names[0])
	}
	if err := fs.MkdirAll(engine, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{s.dir, filepath.Dir(filepath.Clean(s.dir))} {
		if err := syncDir(fs, dir); err != nil {
			return err
		}
	}
	return nil
}

// without returns names without those of another list.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// HasTables says whether a directory holds a store's files.
func HasTables(fs vfs.FS, dir string) bool {
	for _, name := range []string{engineDir, controlName} {
		if _, err := fs.Stat(fs.PathJoin(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// emptyBuildDir removes what a copy, or a snapshot, left when the process ended.
func (s *Store) emptyBuildDir(fs vfs.FS) error {
	build := fs.PathJoin(s.dir, buildDir)
	if err := fs.RemoveAll(build); err != nil {
		return err
	}
	if err := fs.MkdirAll(build, 0o700); err != nil {
		return err
	}
	return syncDir(fs, s.dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
