package mcrouter_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/config/mcrouter"
)

// importing parses a file whose route is imported from path, relative to dir.
func importing(dir, path string) error {
	text := fmt.Sprintf(`{"route": "@import(%s)"}`, path)
	_, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{Import: mcrouter.Files(dir)})
	return err
}

func wantRefused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v; want %q", err, want)
	}
}

// A FIFO is never opened, since that would wait for its writer, and a device is never read.
func TestImportsAreRegularFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"fifo", "zero", "/dev/zero", "file:/dev/random", "."} {
		wantRefused(t, importing(dir, path), "is not a regular file")
		wantRefused(t, importing(dir, path+", NullRoute"),
			"is not a regular file") // the default is for a file that isn't there
	}
	if err := importing(dir, "none.json, NullRoute"); err != nil {
		t.Errorf("got %v; want the default for a file that isn't there", err)
	}
}

func TestImportsAreBounded(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("large", "")
	if err := os.Truncate(filepath.Join(dir, "large"), 10<<30); err != nil { // a sparse file
		t.Fatal(err)
	}
	wantRefused(t, importing(dir, "large"), "is larger than 16 MiB")

	write("self", `"@import(self)"`)
	wantRefused(t, importing(dir, "self"), "imports are nested more than 16 deep")

	var many strings.Builder
	for i := range 257 {
		write(fmt.Sprint("n", i), "[]")
		fmt.Fprintf(&many, `"@import(n%d)", `, i)
	}
	write("many", "["+strings.TrimSuffix(many.String(), ", ")+"]")
	wantRefused(t, importing(dir, "many"), "more than 256 files are imported")

	var heavy strings.Builder
	for i := range 5 {
		write(fmt.Sprint("m", i), `"`+strings.Repeat("x", 15<<20)+`"`)
		fmt.Fprintf(&heavy, `"@import(m%d)", `, i)
	}
	write("heavy", "["+strings.TrimSuffix(heavy.String(), ", ")+"]")
	wantRefused(t, importing(dir, "heavy"), "the imported files have more than 64 MiB")
}
