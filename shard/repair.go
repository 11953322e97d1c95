package shard

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// repair does what was planned. After each step another recovery can continue.
func (v *recovering) repair() error {
	if slices.ContainsFunc(v.in.logs, func(l *neededLog) bool { return l.damaged && l.scan != nil }) {
		if err := v.setAside(); err != nil {
			return err
		}
	}
	for _, name := range v.in.missingMarkers() {
		f, err := v.o.FS.Create(v.o.FS.PathJoin(v.in.engine, name), vfs.WriteCategoryUnspecified)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return err
		}
	}
	if err := syncDir(v.o.FS, v.in.engine); err != nil {
		return err
	}
	if err := v.writeControl(); err != nil {
		return err
	}
	if err := v.verify(); err != nil {
		return err
	}
	return v.removeOrphans()
}

// setAside moves or copies the logs of which something is dropped to another directory, and leaves
// of each what is kept.
func (v *recovering) setAside() error {
	fs := v.o.FS
	v.r.Aside = asideDir + "/" + v.o.Now().UTC().Format("20060102T150405.000Z")
	aside := fs.PathJoin(v.o.Dir, asideDir, fs.PathBase(v.r.Aside))
	if err := fs.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	for _, l := range v.in.logs {
		if !l.damaged || l.scan == nil {
			continue
		}
		name := logName(l.num)
		path, kept := fs.PathJoin(v.in.engine, name), fs.PathJoin(aside, name)
		if l.keep == 0 {
			if err := fs.Rename(path, kept); err != nil {
				return err
			}
			continue
		}
		part := kept + ".part"
		err := errors.Join(copyFile(fs, path, kept, l.scan.size), copyFile(fs, path, part, l.keep))
		if err == nil {
			err = fs.Rename(part, path)
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []string{v.o.Dir, fs.PathJoin(v.o.Dir, asideDir), aside, v.in.engine} {
		if err := syncDir(fs, dir); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies the beginning of a file, and syncs the copy.
func copyFile(fs vfs.FS, from, to string, size int64) error {
	in, err := fs.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, in, size)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// writeControl writes the control file of what remains.
func (v *recovering) writeControl() error {
	in := *v.in
	if in.control == nil {
		in.control, in.state = &control{version: v.version(), id: v.id, at: time.Unix(0, 0)}, dirLegacy
	}
	in.format = max(in.format, in.control.format)
	in.logs = nil
	for _, l := range v.in.logs {
		if l.damaged && l.keep == 0 {
			continue
		}
		rest := *l
		if l.damaged {
			end := *l.scan
			end.end = l.keep
			rest.extent, rest.scan = extent{num: l.num, reused: l.reused}, &end
		}
		in.logs = append(in.logs, &rest)
	}
	c, err := in.accept()
	if err != nil {
		return err
	}
	c.at = v.o.Now()
	return makeControl(v.o.FS, v.o.Dir, c)
}

// removeOrphans opens the repaired store, and removes the shards that have no name, and what no
// shard has.
func (v *recovering) removeOrphans() error {
	if len(v.r.Orphans)+len(v.strays) == 0 {
		return nil
	}
	if err := v.lock.Close(); err != nil {
		return err
	}
	v.lock = nil
	o := v.o
	o.unreserved = true
	s, err := Open(o)
	if err != nil {
		return err
	}
	removed := v.strays
	for _, id := range v.r.Orphans {
		removed = append(removed, keys{shard: id}.state(), formerKeys{id}.all())
	}
	return errors.Join(s.engine.clear(removed), s.Close())
}
