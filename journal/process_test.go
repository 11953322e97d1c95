package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// childDirectory is the environment variable with the directory of a child process, which is this
// test program run again.
const childDirectory = "HOLDFAST_JOURNAL_TEST_DIRECTORY"

const adders = 2

func TestMain(m *testing.M) {
	if directory := os.Getenv(childDirectory); directory != "" {
		if err := child(directory, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child finishes the outage that an earlier child left, then adds keys and prints each one after it
// was added, until it is killed.
func child(directory string, out io.Writer) error {
	j, err := Open(quiet(directory))
	if err != nil {
		return err
	}
	m, err := j.Member("m:1")
	if err != nil {
		return err
	}
	if !m.Finish(m.End()) {
		return errors.New("not finished")
	}
	if err := m.Begin(); err != nil {
		return err
	}
	var group sync.WaitGroup
	for adder := range adders {
		group.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%d %d", adder, n)
				m.Add([]byte(key))
				if _, err := fmt.Fprintln(out, key); err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return nil
}

// TestKilled kills a process while it adds keys: the journal has all that it had added, in order,
// or it is cut.
func TestKilled(t *testing.T) {
	directory := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	cuts := 0
	for range 40 {
		added := runAndKill(t, directory, 1+r.IntN(3000))
		j := open(t, quiet(directory))
		m := member(t, j, "m:1")
		keys, _, err := readAll(m, Position{})
		switch {
		case errors.Is(err, ErrCut):
			cuts++
		case err != nil:
			t.Fatal(err)
		default:
			wantInOrder(t, keys, added)
		}
		if !m.InOutage() {
			t.Error("the journal is not in an outage")
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d cut", cuts)
}

// runAndKill kills a child after it has printed n keys or a few more, and returns how many each
// adder has printed.
func runAndKill(t *testing.T, directory string, n int) (printed [adders]int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDirectory+"="+directory)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for line := 0; lines.Scan(); line++ {
		adder, number := 0, 0
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &adder, &number); err != nil {
			t.Fatal(err)
		}
		printed[adder] = number + 1
		if line == 0 {
			if _, err := Open(quiet(directory)); !errors.Is(err, ErrLocked) {
				t.Errorf("opened beside another process: %v", err)
			}
		}
		if line == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child was not killed: %v", err)
	}
	return printed
}

// wantInOrder wants keys 0, 1, 2 … of each adder, at least those that were printed.
func wantInOrder(t *testing.T, keys []string, printed [adders]int) {
	t.Helper()
	var next [adders]int
	for _, key := range keys {
		adder, err := strconv.Atoi(key[:1])
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d %d", adder, next[adder]); key != want {
			t.Fatalf("got %s; want %s", key, want)
		}
		next[adder]++
	}
	for adder, n := range printed {
		if next[adder] < n {
			t.Errorf("adder %d: got %d keys; want at least %d", adder, next[adder], n)
		}
	}
}
