package shard

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// accept returns the control file's record of the state that a start continues from: each log ends
// after its last whole record, and what follows counts neither as torn nor as damaged from now on.
// What was read may be in the system's memory only, so it is synced first.
func (in *inspection) accept() (*control, error) {
	c := *in.control
	c.boot, c.logs = in.boot, nil
	if in.state == dirInitializing || in.state == dirEmpty {
		c.manifest = extent{}
		return &c, nil
	}
	c.phase, c.format, c.manifest = phaseRunning, in.format, in.manifest
	if err := syncAndSum(in.fs, in.fs.PathJoin(in.engine, manifestName(c.manifest.num)), &c.manifest); err != nil {
		return nil, err
	}
	for _, l := range in.logs {
		if in.state == dirKnown && !l.listed {
			continue // it is empty
		}
		e := l.extent
		if !e.closed {
			e.bytes, e.closed = l.scan.end, true
			if err := syncAndSum(in.fs, in.fs.PathJoin(in.engine, logName(l.num)), &e); err != nil {
				return nil, err
			}
		}
		c.logs = append(c.logs, e)
	}
	return &c, nil
}

// syncAndSum syncs a file, and sets the checksum of its first e.bytes.
func syncAndSum(fs vfs.FS, path string, e *extent) error {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = f.Sync()
	in := &summing{Reader: f, left: e.bytes}
	if err == nil {
		_, err = io.CopyN(io.Discard, in, e.bytes)
	}
	e.sum = in.sum
	return errors.Join(err, f.Close())
}
