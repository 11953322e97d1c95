package cluster

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// An Incarnation is the life of a node's directory, from when it was empty: a random number by which
// the nodes that form a cluster know each other.
type Incarnation [16]byte

// String returns the incarnation in hexadecimal digits.
func (n Incarnation) String() string { return hex.EncodeToString(n[:]) }

const incarnationVersion = 1

// An incarnationForm is an incarnation as it is on disk.
type incarnationForm struct {
	Version     int    `json:"version"`
	Incarnation string `json:"incarnation"`
	Sum         string `json:"crc32c"` // of the form with "" here
}

func (n Incarnation) encode() []byte {
	f := incarnationForm{Version: incarnationVersion, Incarnation: n.String()}
	f.Sum = sumOf(&f)
	return encodeForm(&f)
}

// decodeIncarnation returns the incarnation in a file. Only what encode returns for it is accepted.
func decodeIncarnation(text []byte) (n Incarnation, err error) {
	var f incarnationForm
	if err := json.Unmarshal(text, &f); err != nil {
		return n, corrupt("it can't be read: %v", err)
	}
	if err := decodeID(f.Incarnation, (*[16]byte)(&n)); err != nil {
		return n, err
	}
	if !bytes.Equal(n.encode(), text) {
		return n, corrupt("its version or checksum is wrong: it was damaged, or changed by hand")
	}
	return n, nil
}

// Draw returns the incarnation of a directory in which nothing else is, which it draws if there is
// none. When it returns, that is on disk: so the node may say it to others. The caller has locked the
// directory.
func Draw(fs vfs.FS, dir string) (Incarnation, error) {
	path := fs.PathJoin(dir, incarnationName)
	text, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		n := Incarnation(NewID())
		return n, writeFile(fs, dir, incarnationName, n.encode())
	}
	if err != nil {
		return Incarnation{}, err
	}
	n, err := decodeIncarnation(text)
	if err != nil {
		return n, holdfast.Errorf(holdfast.Corrupt, "%s: %w", path, err)
	}
	// It may have been written just before a crash that the file, but not its directory's sync, has
	// survived.
	return n, syncDir(fs, dir)
}

// Clean removes what the forming of a cluster has left in a directory that has its identity: the
// incarnation. Otherwise a directory that has lost all but that would be taken for one of a node that
// hasn't promised anything yet.
func Clean(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, incarnationName)
	if _, err := fs.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := fs.Remove(path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// Lock makes a directory, and locks it for this process while the node forms a cluster with others. The
// error is Unavailable if another process has locked it.
func Lock(fs vfs.FS, dir string) (io.Closer, error) {
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	lock, err := fs.Lock(fs.PathJoin(dir, LockName))
	if err != nil {
		return nil, holdfast.Errorf(holdfast.Unavailable, "%s: another process uses it: %w", dir, err)
	}
	return lock, nil
}

// ParseIncarnation returns the incarnation of a text that String has returned. The error is Corrupt.
func ParseIncarnation(text string) (n Incarnation, err error) {
	return n, decodeID(text, (*[16]byte)(&n))
}
