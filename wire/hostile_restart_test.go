package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A keeper stores values under keys of its own, one after the other, until its connection ends, and
// knows what was acknowledged.
type keeper struct {
	id     int
	held   map[string][]byte
	unsure string // the key of the request whose answer never came
	maybe  []byte // the value that that request stores
}

func (k *keeper) run(c net.Conn) {
	k.held = map[string][]byte{}
	r := bufio.NewReader(c)
	for n := 0; ; n++ {
		key := fmt.Sprintf("keep%d:%d", k.id, n%100)
		value := appendBlock(nil, key, uint32(n), []int{20, 300, 5000, 40_000, 100_000}[n%5])
		k.unsure, k.maybe = key, value
		command := "set"
		if n%7 == 3 && k.held[key] != nil {
			command, k.maybe = "append", append(bytes.Clone(k.held[key]), value...)
		}
		if _, err := fmt.Fprintf(c, "%s %s %d 0 %d\r\n%s\r\n", command, key, flagsOf(key), len(value), value); err != nil {
			return
		}
		if answer, err := r.ReadString('\n'); err != nil || answer != "STORED\r\n" {
			return
		}
		k.held[key], k.unsure = k.maybe, ""
	}
}

// check reads everything back from a server.
func (k *keeper) check(t *testing.T, server *process) {
	t.Helper()
	l := newLoader(0, dial(t, server), 1, 1<<20)
	l.mayMiss = false
	for key, value := range k.held {
		it := &ownItem{value: value}
		l.ask(func() error {
			if key != k.unsure {
				return l.ownValue(key, it)
			}
			_, got, _, _, err := l.value()
			if err != nil || !bytes.Equal(got, value) && !bytes.Equal(got, k.maybe) {
				return fmt.Errorf("%s: got %d bytes (%w); want %d or %d", key, len(got), err, len(value), len(k.maybe))
			}
			return l.one("get "+key, "END")()
		}, "get %s\r\n", key)
		if err := l.flush(); err != nil {
			t.Error(err)
			return
		}
	}
}

// keepers run until the server has ended; end is called to end it once they are running.
func keepers(t *testing.T, server *process, end func()) []*keeper {
	t.Helper()
	all := make([]*keeper, 8)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &keeper{id: i}
		c := dial(t, server)
		wg.Go(func() { all[i].run(c) })
	}
	untilStat(t, server, "", "cmd_set", func(n int64) bool { return n > 3000 })
	end()
	<-server.exited
	wg.Wait()
	return all
}

// TestStopUnderLoad stops a server that is being written to. The next process has every
// acknowledged item.
func TestStopUnderLoad(t *testing.T) {
	file := filepath.Join(memoryDir(t), "memory")
	for range 2 {
		server := start(t, ours(t), "-m", "128", "-t", "2", "-e", file)
		all := keepers(t, server, func() { signal(t, server, syscall.SIGTERM) })
		if !server.cmd.ProcessState.Success() {
			t.Fatalf("it ended with %v\n%s", server.cmd.ProcessState, server.stderr.String())
		}
		server = start(t, ours(t), "-m", "128", "-t", "2", "-e", file)
		if !strings.Contains(server.stderr.String(), "starts warm") {
			t.Fatalf("it doesn't start warm:\n%s", server.stderr.String())
		}
		for _, k := range all {
			k.check(t, server)
		}
		flush(t, server)
		load(t, server, func() (net.Conn, error) { return net.Dial("tcp", server.addr) }, 8, 30, 1<<20)
		server.stop()
	}
}

// TestKillUnderLoad kills a server that is being written to. The next process is empty, logs why,
// and works.
func TestKillUnderLoad(t *testing.T) {
	file := filepath.Join(memoryDir(t), "memory")
	server := start(t, ours(t), "-m", "32", "-t", "2", "-e", file)
	keepers(t, server, func() { signal(t, server, syscall.SIGKILL) })
	server = start(t, ours(t), "-m", "32", "-t", "2", "-e", file)
	if !strings.Contains(server.stderr.String(), "not stopped cleanly") {
		t.Errorf("got no reason for the empty start in the log:\n%s", server.stderr.String())
	}
	if items := statsOf(t, server, "")["curr_items"]; items != "0" {
		t.Errorf("got %s items; want none", items)
	}
	load(t, server, func() (net.Conn, error) { return net.Dial("tcp", server.addr) }, 8, 30, 1<<20)
}

// TestMemoryFileInUse starts a second server on the file of a running one: it reports that and
// ends, and the first isn't disturbed.
func TestMemoryFileInUse(t *testing.T) {
	file := filepath.Join(memoryDir(t), "memory")
	server := start(t, ours(t), "-m", "8", "-e", file)
	c := dial(t, server)
	r := bufio.NewReader(c)
	ask(t, c, r, "set a 0 0 1\r\nA\r\n")
	for _, memory := range []string{"8", "16"} {
		second := launch(t, "-l", "127.0.0.1", "-p", "0", "-m", memory, "-e", file, "-s", filepath.Join(t.TempDir(), "s"))
		<-second.exited
		if second.cmd.ProcessState.Success() || !strings.Contains(second.stderr.String(), "in use") {
			t.Errorf("-m %s: %v\n%s", memory, second.cmd.ProcessState, second.stderr.String())
		}
	}
	if got := ask(t, c, r, "mg a s\r\n"); got != "HD s1\r\n" {
		t.Errorf("the first: got %q", got)
	}
}

// TestFullFileSystem asks for more memory than the file system of -e has. That is an error at the
// start: a mapping without pages behind it kills the process when it is touched.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := mountMemory(dir, "size=32m"); err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(dir, "memory")
	server := launch(t, "-s", filepath.Join(t.TempDir(), "s"), "-m", "64", "-e", file)
	<-server.exited
	text := server.stderr.String()
	if server.cmd.ProcessState.Success() || !strings.Contains(text, file) || strings.Contains(text, "fatal error") {
		t.Errorf("%v\n%s", server.cmd.ProcessState, text)
	}
	// A file that fits is used to its last byte.
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	fits := start(t, ours(t), "-m", "28", "-e", file)
	load(t, fits, func() (net.Conn, error) { return net.Dial("tcp", fits.addr) }, 8, 60, 1<<20)
	c := dial(t, fits)
	if _, err := io.WriteString(c, "mn\r\n"); err != nil {
		t.Error(err)
	}
}

func signal(t *testing.T, server *process, sig syscall.Signal) {
	t.Helper()
	if err := server.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// memoryDir is a directory in memory, if there is one, for the file of -e.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-wire")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
