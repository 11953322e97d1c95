package mcrouter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Limits of what a file may import.
const (
	maxImportBytes   = 16 << 20 // of one file
	maxImportedBytes = 64 << 20 // of all of them
	maxImports       = 256      // of files, each of which is read once
	maxImportDepth   = 16       // an import within an imported file, and so on
)

// Files returns an Import that reads regular files of limited size. Paths without a leading "file:"
// or slash are relative to dir. A device, a FIFO or a socket is refused before it is opened:
// reading it might never end, or never begin.
func Files(dir string) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		path, whole := strings.CutPrefix(path, "file:")
		if !whole && !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return readFile(path)
	}
}

// readFile reads a regular file of at most maxImportBytes.
func readFile(path string) ([]byte, error) {
	about, err := os.Stat(path) // before it is opened: opening a FIFO waits for its writer
	if err != nil {
		return nil, err
	}
	if err := readable(path, about); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if about, err = f.Stat(); err != nil { // the path may name another file by now
		return nil, err
	}
	if err := readable(path, about); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxImportBytes+1))
	if err == nil && len(text) > maxImportBytes {
		return nil, tooLarge(path)
	}
	return text, err
}

func readable(path string, about os.FileInfo) error {
	switch {
	case !about.Mode().IsRegular():
		return refuseImport("%q is not a regular file", path)
	case about.Size() > maxImportBytes:
		return tooLarge(path)
	}
	return nil
}

func tooLarge(path string) error {
	return refuseImport("%q is larger than %d MiB", path, maxImportBytes>>20)
}

// A refusedImport is the error of an import that was refused. Unlike that of a file that can't be
// read, it isn't replaced by the default of the call.
type refusedImport struct{ text string }

func (r *refusedImport) Error() string { return r.text }

func refuseImport(format string, args ...any) error {
	return &refusedImport{fmt.Sprintf(format, args...)}
}

func isRefused(err error) bool {
	var r *refusedImport
	return errors.As(err, &r)
}

// imported reads a file and expands its macros.
func (x *expander) imported(path string) (any, error) {
	if x.imports == nil {
		return nil, errors.New("imports aren't allowed here")
	}
	if x.importing >= maxImportDepth {
		return nil, refuseImport("imports are nested more than %d deep; perhaps a file imports itself", maxImportDepth)
	}
	if x.files++; x.files > maxImports {
		return nil, refuseImport("more than %d files are imported", maxImports)
	}
	text, err := x.imports(path)
	if err != nil {
		return nil, err
	}
	if x.fileBytes += len(text); x.fileBytes > maxImportedBytes {
		return nil, refuseImport("the imported files have more than %d MiB", maxImportedBytes>>20)
	}
	v, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	x.importing++
	defer func() { x.importing-- }()
	return x.expand(v, nil)
}
