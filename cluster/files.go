package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// The files of an identity in a node's data directory.
const (
	identityName    = "cluster.json"
	formingName     = "cluster.forming"     // the identity while the cluster is being formed
	incarnationName = "cluster.incarnation" // of a node that meets others, until it has an identity
	partialName     = "cluster.partial"     // a file that isn't whole yet
)

// LockName is a file that a process locks while it forms a cluster. It stays, and means nothing then.
const LockName = "cluster.lock"

// FormingFiles are the files that a directory may have before it has a store: those of a cluster
// that is being formed. With cluster.json there must be a store.
func FormingFiles() []string { return []string{formingName, incarnationName, partialName, LockName} }

// A State is what a node's directory is.
type State uint8

// The states of a directory.
const (
	Empty   State = iota // it has nothing, or isn't there
	Drawn                // it has an incarnation, and no identity: the node has perhaps met others
	Forming              // it has an identity, of a cluster that may not have been formed
	Formed               // it has an identity
	Other                // it has something else, and no identity
)

// A Found is what a node's directory was found to be.
type Found struct {
	Dir    string
	State  State
	Is     *Identity // of Forming and Formed
	Name   string    // of Other: something that it has
	Tables bool      // a store's files are there; the caller of Look finds that out
}

// Read returns the identity in a directory; nil if it has none. The error is Corrupt if there is one
// that isn't what was written.
func Read(fs vfs.FS, dir string) (*Identity, error) {
	is, err := read(fs, fs.PathJoin(dir, identityName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return is, err
}

func read(fs vfs.FS, path string) (*Identity, error) {
	text, err := readFile(fs, path)
	if err != nil {
		return nil, err
	}
	is, err := decode(text)
	if err != nil {
		return nil, holdfast.Errorf(holdfast.Corrupt, "%s: %w", path, err)
	}
	return is, nil
}

// readFile returns the text of a file, or more than maxFormBytes of a longer one.
func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFormBytes+1))
	return text, errors.Join(err, f.Close())
}

// Look finds out what a directory is.
func Look(fs vfs.FS, dir string) (Found, error) {
	found := Found{Dir: dir}
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return found, err
	}
	slices.Sort(names)
	switch {
	case slices.Contains(names, identityName):
		found.State = Formed
		found.Is, err = Read(fs, dir)
		return found, err
	case slices.Contains(names, formingName):
		found.State = Forming
		found.Is, err = read(fs, fs.PathJoin(dir, formingName))
		return found, err
	}
	if slices.Contains(names, incarnationName) {
		found.State = Drawn
	}
	for _, name := range names {
		if name != partialName && name != incarnationName && name != LockName {
			found.State, found.Name = Other, name
		}
	}
	return found, nil
}

// Prepare makes a directory, and writes the identity that it will have once the cluster is formed.
// When it returns, that is on disk.
func Prepare(fs vfs.FS, dir string, is *Identity) error {
	if err := is.Check(); err != nil {
		return err
	}
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	return writeFile(fs, dir, formingName, is.encode())
}

// writeFile writes a file of a directory, as a whole or not at all. When it returns, that is on disk.
func writeFile(fs vfs.FS, dir, name string, text []byte) error {
	f, err := fs.Create(fs.PathJoin(dir, partialName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return rename(fs, dir, partialName, name)
}

// Commit makes the identity that Prepare has written the directory's for good, and cleans the
// directory. When it returns, that is on disk.
func Commit(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(fs.PathJoin(dir, identityName)); err == nil {
		return fmt.Errorf("%s has an identity already", dir) // nothing is written over one
	}
	if err := rename(fs, dir, formingName, identityName); err != nil {
		return err
	}
	return Clean(fs, dir)
}

func rename(fs vfs.FS, dir, from, to string) error {
	if err := fs.Rename(fs.PathJoin(dir, from), fs.PathJoin(dir, to)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// makeDir makes a directory and those above it that are missing, and syncs what has changed.
func makeDir(fs vfs.FS, dir string) error {
	dir = filepath.Clean(dir)
	if _, err := fs.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(fs, above); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, above)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
