package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// suiteFileTime limits one file of memcached's suite; the slowest takes half a minute.
const suiteFileTime = 2 * time.Minute

// TestMemcachedSuite runs memcached's own tests, from the t/ directory of its source, against
// Holdfast. The program is in the suite's directory under the name memcached-debug, which it
// recognises.
func TestMemcachedSuite(t *testing.T) {
	source := os.Getenv("HOLDFAST_MEMCACHED_SOURCE")
	if source == "" {
		t.Skip("HOLDFAST_MEMCACHED_SOURCE names no source of memcached")
	}
	perl := find(t, "perl")
	s := newSuite(t, source)
	for _, f := range s.files(t) {
		t.Run(f.name, func(t *testing.T) {
			if f.leftOut != "" {
				t.Skip(f.leftOut)
			}
			if f.tls && exec.Command(perl, "-MIO::Socket::SSL", "-e", "1").Run() != nil {
				missing(t, "perl's IO::Socket::SSL")
			}
			s.run(t, perl, f)
		})
	}
}

// timedrun SECONDS PROGRAM… replaces memcached's own. run limits the time; here the program is
// bound to the test that starts it, if the system can do that.
const timedrun = `#!/bin/sh
shift
command -v setpriv >/dev/null && exec setpriv --pdeathsig KILL "$@"
exec "$@"
`

// A suite is a copy of memcached's tests beside the built program.
type suite struct {
	dir     string
	program string
}

func newSuite(t *testing.T, source string) *suite {
	t.Helper()
	ours := holdfast(t)
	s := &suite{dir: t.TempDir()}
	if err := os.CopyFS(filepath.Join(s.dir, "t"), os.DirFS(filepath.Join(source, "t"))); err != nil {
		t.Fatal(err)
	}
	// The program is copied, so that servers that a test leaves running can be found by their path.
	s.program = filepath.Join(s.dir, "holdfast")
	data, err := os.ReadFile(ours.argv[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memcached", "memcached-debug"} {
		if err := os.Symlink(s.program, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "timedrun"), []byte(timedrun), 0o755); err != nil {
		t.Fatal(err)
	}
	s.amend(t, "t/lib/MemcachedTest.pm", suiteHarness)
	return s
}

// files is the table's entries for the files in t/: a file that isn't in the table is a failure.
func (s *suite) files(t *testing.T) []suiteFile {
	t.Helper()
	there, err := filepath.Glob(filepath.Join(s.dir, "t", "*.t"))
	if err != nil || len(there) == 0 {
		t.Fatalf("no tests in %s: %v", s.dir, err)
	}
	var files []suiteFile
	for _, path := range there {
		name := filepath.Base(path)
		f, ok := suiteTable(name)
		if !ok {
			t.Errorf("%s is neither run nor left out", name)
			continue
		}
		files = append(files, f)
	}
	return files
}

// amend changes a copied file where it requires what Holdfast doesn't serve, or what a later
// memcached answers differently. A text that isn't in this version of the file needs no change.
func (s *suite) amend(t *testing.T, name string, changes []amendment) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		data = bytes.ReplaceAll(data, []byte(c.old), []byte(c.new))
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) run(t *testing.T, perl string, f suiteFile) {
	t.Helper()
	s.amend(t, "t/"+f.name, f.amendments)
	ctx, cancel := context.WithTimeout(t.Context(), suiteFileTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, perl, "t/"+f.name)
	cmd.Dir = s.dir
	cmd.Env = os.Environ()
	if f.tls {
		cmd.Env = append(cmd.Env, "SSL_TEST=1")
	}
	var out lockedBuffer
	var diagnosis lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	// A server that a test leaves running holds the pipes; it is killed below.
	cmd.WaitDelay = time.Second
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	s.killRest(t)
	ran := readTAP(out.String())
	if ran.skipped != "" {
		t.Skip(ran.skipped)
	}
	if err == nil && len(ran.failed) == 0 && ran.passed == ran.planned && ran.planned > 0 {
		return
	}
	t.Errorf("%v; %d of %d passed\n%s\n%s",
		err, ran.passed, ran.planned, strings.Join(ran.failed, "\n"), tail(diagnosis.String()))
}

// killRest ends the servers that a test has left running.
func (s *suite) killRest(t *testing.T) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// A process that has ended meanwhile, or is another user's, doesn't belong to the suite.
		if path, err := os.Readlink(link); err != nil || path != s.program {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(link, "/proc/%d/exe", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// A tap is what a test printed, in the Test Anything Protocol.
type tap struct {
	planned int
	passed  int
	failed  []string
	skipped string // why the whole file was
}

func readTAP(out string) tap {
	var r tap
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 16<<20) // a test's name may contain the value that it stored
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "ok "):
			r.passed++
		case strings.HasPrefix(line, "not ok "):
			r.failed = append(r.failed, line[:min(len(line), 300)])
		case strings.HasPrefix(line, "1.."):
			plan, why, _ := strings.Cut(line, "#")
			if _, err := fmt.Sscanf(plan, "1..%d", &r.planned); err == nil && r.planned == 0 {
				r.skipped = strings.TrimSpace(why)
			}
		}
	}
	return r
}

// tail is the end of a test's output, enough to see what failed.
func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
