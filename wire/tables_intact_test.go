package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	intactItems    = 1000      // acknowledged before the process is killed, at least
	intactLogBytes = 100 << 10 // in the newest log by then, at least
	intactPatience = time.Minute
)

// TestTablesLoseNothingInSilence removes, truncates and changes files of a killed process's
// directory. Each start either has every acknowledged item, or is refused, names the file, and
// touches nothing. A recovery reports what it drops and leaves the first items.
func TestTablesLoseNothingInSilence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	server := startTables(t, dir)
	d := newDynamo(server.addr)
	defer d.close()
	d.must(t, "CreateTable", tableOfNumbers("kept"), nil)
	d.active(t, "kept")
	items := 0
	live := &remains{t: t, dir: dir}
	for ; items < intactItems || items%100 > 0 || len(live.written(live.newest())) < intactLogBytes; items++ {
		d.must(t, "PutItem", intactItem(items), nil)
	}
	acknowledged := time.Now().Add(10 * time.Millisecond) // files' times are coarse
	last := time.Time{}
	eventually(t, "the end of the log is on record", func() bool {
		// The end of the log may have been recorded just before; more writes at once would begin another
		// log.
		if time.Since(last) > time.Second {
			d.must(t, "PutItem", fmt.Sprintf(`{"TableName":"kept","Item":{"id":{"N":"-1"},"at":{"N":"%d"}}}`,
				time.Now().UnixNano()), nil)
			last = time.Now()
		}
		info, err := os.Stat(filepath.Join(dir, "control"))
		return err == nil && info.ModTime().After(acknowledged)
	})
	server.kill()

	for _, test := range []struct {
		name  string
		harm  func(r *remains)
		words string // of the refusal; "": a start may also have everything
		least int    // items that a recovery leaves
	}{
		{"as it is", func(r *remains) {}, "", items},
		{"no marker of the manifest", func(r *remains) { r.remove("pebble/marker.manifest.*") },
			"pebble/marker.manifest.* is missing", items},
		{"no marker of the format", func(r *remains) { r.remove("pebble/marker.format-version.*") },
			"pebble/marker.format-version.* is missing", items},
		{"no empty files", func(r *remains) { r.remove("pebble/marker.*"); r.remove("pebble/LOCK") }, "is missing", items},
		{"no manifest", func(r *remains) { r.remove("pebble/MANIFEST-*") }, "pebble/MANIFEST-", -1},
		{"no control file", func(r *remains) { r.remove("control") }, "control is missing", items},
		{"no database", func(r *remains) { r.remove("pebble") }, "pebble", -1},
		{"newest log deleted", func(r *remains) { os.Remove(r.newest()) }, ".log is missing", 0},
		{"newest log cut to 2/3", func(r *remains) {
			r.change(r.newest(), func(p []byte) []byte { return p[:len(p)*2/3] })
		}, " that were on disk", 0},
		{"a bit flipped at 90 %", func(r *remains) {
			r.change(r.newest(), func(p []byte) []byte { p[len(p)*9/10] ^= 1; return p })
		}, "is damaged at byte ", 0},
		{"oldest log deleted", func(r *remains) { os.Remove(r.logs()[0]) }, "", 0},
		{"all logs deleted", func(r *remains) { r.remove("pebble/*.log") }, ".log is missing", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &remains{t: t, dir: filepath.Join(t.TempDir(), "data"), items: items}
			if err := os.CopyFS(r.dir, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			test.harm(r)
			if test.words == "" && r.starts() {
				r.expect(items, items)
				return
			}
			r.refused(test.words)
			r.recovers(test.least)
		})
	}
}

func intactItem(i int) string {
	return fmt.Sprintf(`{"TableName":"kept","Item":{"id":{"N":"%d"},"text":{"S":"%s"}}}`,
		i, strings.Repeat(fmt.Sprintf("%08d", i), 32))
}

// remains are the directory that a killed process left.
type remains struct {
	t     *testing.T
	dir   string
	items int // that were acknowledged
}

func (r *remains) remove(pattern string) {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.dir, pattern))
	if err != nil || len(paths) == 0 {
		r.t.Fatalf("got %v, %v for %s; want files", paths, err, pattern)
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *remains) logs() []string {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.dir, "pebble/*.log"))
	if err != nil || len(paths) == 0 {
		r.t.Fatalf("got %v, %v; want logs", paths, err)
	}
	slices.Sort(paths)
	return paths
}

func (r *remains) newest() string { return r.logs()[len(r.logs())-1] }

// change changes the written part of a file, without the allocated space behind it.
func (r *remains) change(path string, how func([]byte) []byte) {
	r.t.Helper()
	if err := os.WriteFile(path, how(r.written(path)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// written is the written part of a file, without the allocated space behind it.
func (r *remains) written(path string) []byte {
	r.t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return bytes.TrimRight(p, "\x00")
}

// files are the contents of the directory, without locks.
func (r *remains) files() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(r.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		p, err := os.ReadFile(path)
		all[path] = string(p)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// run runs the program to its end, and returns its status and its output.
func (r *remains) run(args ...string) (status int, printed string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), intactPatience) // a process that serves doesn't end by itself
	defer cancel()
	out, err := exec.CommandContext(ctx, ours(r.t).argv[0], args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	return status, string(out)
}

// starts reports whether a start with the directory would be accepted. It starts nothing.
func (r *remains) starts() bool {
	r.t.Helper()
	status, _ := r.run("table", "recover", r.dir)
	return status == 0
}

// refused fails unless a start is refused, a check finds the fault, and neither touches any file.
func (r *remains) refused(words string) {
	r.t.Helper()
	before := r.files()
	status, printed := r.run("up", "--tables-listen", freeAddress(r.t), "--data", r.dir,
		"--cache-listen", "127.0.0.1:0", "--http-listen", "",
		"--memory", "8MiB")
	if status != 1 || !strings.Contains(printed, words) {
		r.t.Errorf("up: got %d, %s; want 1 and %q", status, printed, words)
	}
	if status, printed := r.run("table", "check", r.dir); status != 2 || !strings.Contains(printed, words) {
		r.t.Errorf("check: got %d, %s; want 2 and %q", status, printed, words)
	}
	if status, printed := r.run("table", "recover", r.dir); status != 2 || !strings.Contains(printed, "wrong: ") {
		r.t.Errorf("recover: got %d, %s; want 2 and what is wrong", status, printed)
	}
	after := r.files()
	for path, is := range before {
		if after[path] != is {
			r.t.Errorf("%s was changed", path)
		}
	}
	if len(after) != len(before) {
		r.t.Errorf("got %d files; want the %d that were there", len(after), len(before))
	}
}

// recovers accepts the loss, and checks what is left: at least the given number of items; below 0,
// a recovery must be impossible.
func (r *remains) recovers(least int) {
	r.t.Helper()
	status, printed := r.run("table", "recover", "--accept-loss", r.dir)
	if least < 0 {
		if status != 2 || !strings.Contains(printed, "restore a backup") {
			r.t.Errorf("recover: got %d, %s; want 2, and that a backup is needed", status, printed)
		}
		return
	}
	if status != 0 || !strings.Contains(printed, "dropped") {
		r.t.Fatalf("recover: got %d, %s; want 0 and what was dropped", status, printed)
	}
	r.t.Log(printed)
	if least < r.items {
		r.expect(least, r.items-1)
	} else {
		r.expect(least, least)
	}
}

// expect starts the server and counts the items, which must be the first ones and no others. Then a
// check must find no fault.
func (r *remains) expect(least, most int) {
	r.t.Helper()
	server := startTables(r.t, r.dir)
	d := newDynamo(server.addr)
	defer d.close()
	var names struct{ TableNames []string }
	d.must(r.t, "ListTables", `{}`, &names)
	n := 0
	for ; len(names.TableNames) > 0 && n < r.items; n++ {
		var got struct{ Item map[string]any }
		d.must(r.t, "GetItem", fmt.Sprintf(`{"TableName":"kept","Key":{"id":{"N":"%d"}}}`, n), &got)
		if got.Item == nil {
			break
		}
	}
	for i := n + 1; len(names.TableNames) > 0 && i < r.items; i += 50 {
		var got struct{ Item map[string]any }
		d.must(r.t, "GetItem", fmt.Sprintf(`{"TableName":"kept","Key":{"id":{"N":"%d"}}}`, i), &got)
		if got.Item != nil {
			r.t.Errorf("item %d is there, and item %d isn't", i, n)
		}
	}
	if n < least || n > most {
		r.t.Errorf("got %d items; want %d to %d", n, least, most)
	}
	r.t.Logf("%d items are left", n)
	server.stop()
	if status, printed := r.run("table", "check", r.dir); status != 0 || !strings.Contains(printed, "faults 0") {
		r.t.Errorf("check: got %d, %s; want no fault", status, printed)
	}
}
