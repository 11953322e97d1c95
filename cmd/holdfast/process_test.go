package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The tests' own binary is the program when asMain is set, so that a test can send it signals.
const asMain = "HOLDFAST_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// A process is a running holdfast.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *bufio.Reader // standard output and standard error together
	seen   strings.Builder
}

// start runs the program by a name, which counts for what it does.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	output, childsEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Args = append([]string{name}, args...)
	cmd.Env = append(os.Environ(), asMain+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = childsEnd, childsEnd
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	childsEnd.Close()
	p := &process{t: t, cmd: cmd, output: bufio.NewReader(output)}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		output.Close()
	})
	return p
}

// await reads the output up to a line that matches, and returns the expression's groups.
func (p *process) await(expression string) []string {
	p.t.Helper()
	e := regexp.MustCompile(expression)
	for {
		line, err := p.output.ReadString('\n')
		p.seen.WriteString(line)
		if groups := e.FindStringSubmatch(line); groups != nil {
			return groups
		}
		if err != nil {
			p.t.Fatalf("%v before a line like %q; output:\n%s", err, expression, p.seen.String())
		}
	}
}

// exits waits for the end and checks the exit code; it returns all of the output.
func (p *process) exits(code int) string {
	p.t.Helper()
	rest, err := io.ReadAll(p.output)
	if err != nil {
		p.t.Fatal(err)
	}
	p.seen.Write(rest)
	err = p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("got exit code %d; want %d; output:\n%s", got, code, p.seen.String())
	}
	return p.seen.String()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// startCache runs the cache command on a free port.
func startCache(t *testing.T, args ...string) (p *process, address string) {
	t.Helper()
	p = start(t, "holdfast", append([]string{"cache", "-u", "root", "-l", "127.0.0.1", "-p", "-1"}, args...)...)
	return p, p.await(`serving memcached clients.*addresses=(\S+)`)[1]
}

// ask sends a request and returns what comes until the answer ends with suffix.
func ask(t *testing.T, address, request, suffix string) string {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for in := make([]byte, 4096); !strings.HasSuffix(string(answer), suffix); {
		n, err := conn.Read(in)
		answer = append(answer, in[:n]...)
		if err != nil {
			t.Fatalf("%v after %q; want an end of %q", err, answer, suffix)
		}
	}
	return string(answer)
}

func TestUpServesAndStops(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, "holdfast", "up", "--cache-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--memory", "8MiB",
			"--tables-listen", "127.0.0.1:0", "--data", t.TempDir())
		address := p.await(`memcached clients on (\S+), with 8MiB`)[1]
		tables := p.await(`clients of DynamoDB's API on (\S+), with`)[1]
		url := p.await(`HTTP on (\S+):`)[1]
		p.await("Try, in another terminal")
		p.await("Ctrl-C stops it")
		got := ask(t, address, "set hello 0 0 5\r\nworld\r\nget hello\r\n", "END\r\n")
		if want := "STORED\r\nVALUE hello 0 5\r\nworld\r\nEND\r\n"; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
		for path, want := range map[string]string{
			"/healthz": "ok",
			"/version": `"version": "0.1.0"`,
			"/whatif":  `"estimates"`,
			"/metrics": `holdfast_cache_requests_total{op="get",result="hit"} 1`,
		} {
			if got := fetch(t, url+path); !strings.Contains(got, want) {
				t.Errorf("%s: got %q; want %q in it", path, got, want)
			}
		}
		if got := fetch(t, tables); !strings.Contains(got, "healthy") {
			t.Errorf("%s: got %q; want healthy", tables, got)
		}
		p.signal(signal)
		p.exits(0)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return string(body)
}

func TestTakenPortSaysWhatToDo(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	address := holder.Addr().String()
	port := holder.Addr().(*net.TCPAddr).Port
	next := fmt.Sprintf("127.0.0.1:%d", port+1)
	data := t.TempDir()
	for _, test := range []struct {
		args []string
		code int
		want []string
	}{
		{
			[]string{"up", "--cache-listen", address, "--http-listen", "", "--tables-listen", ""},
			1,
			[]string{"The cache can't listen on " + address,
				"holdfast up --http-listen '' --tables-listen '' --cache-listen " + next},
		},
		{
			[]string{"up", "--cache-listen", "127.0.0.1:0", "--http-listen", "", "--tables-listen", address, "--data", data},
			1,
			[]string{"The table store can't listen on " + address,
				"holdfast up --cache-listen 127.0.0.1:0 --http-listen '' --data " + data + " --tables-listen " + next},
		},
		{
			[]string{"up", "--cache-listen", "127.0.0.1:0", "--http-listen", address, "--tables-listen", ""},
			1,
			[]string{"HTTP can't listen on " + address,
				"holdfast up --cache-listen 127.0.0.1:0 --tables-listen '' --http-listen " + next},
		},
		{
			[]string{"cache", "-u", "root", "-l", address},
			71,
			[]string{"failed to listen on one of interface(s) " + address, "address already in use", "-p"},
		},
		{
			[]string{"cache", "-u", "root", "-l", "127.0.0.1", "-p", "-1", "--http", address},
			71,
			[]string{"failed to listen for HTTP", address},
		},
	} {
		output := start(t, "holdfast", test.args...).exits(test.code)
		for _, want := range test.want {
			if !strings.Contains(output, want) {
				t.Errorf("%v: got %q; want %q in it", test.args, output, want)
			}
		}
	}
}

func TestReloadOnHangup(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ann:one\n")
	p, address := startCache(t, "-Y", users)
	login := func(credentials string) string {
		return ask(t, address, fmt.Sprintf("set auth 0 0 %d\r\n%s\r\n", len(credentials), credentials), "\r\n")
	}
	if got := login("ann one"); got != "STORED\r\n" {
		t.Errorf("got %q; want STORED", got)
	}
	write("bob:two\n")
	p.signal(syscall.SIGHUP)
	p.await("users and certificates were reloaded")
	if got := login("bob two"); got != "STORED\r\n" {
		t.Errorf("got %q; want STORED after the reload", got)
	}
	write("no colon\n")
	p.signal(syscall.SIGHUP)
	p.await("previous configuration stays in use")
	if got := login("bob two"); got != "STORED\r\n" {
		t.Errorf("got %q; want STORED with the users from before", got)
	}
	p.signal(syscall.SIGUSR1)
	p.exits(0)
}

func TestWarmRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory")
	p, address := startCache(t, "-e", file, "-m", "8")
	ask(t, address, "set kept 0 0 3\r\nyes\r\n", "STORED\r\n")
	p.signal(syscall.SIGTERM)
	p.exits(0)
	p, address = startCache(t, "-e", file, "-m", "8")
	if got := ask(t, address, "get kept\r\n", "END\r\n"); !strings.Contains(got, "yes") {
		t.Errorf("got %q; want the item from before", got)
	}
	p.signal(syscall.SIGTERM)
	if output := p.exits(0); !strings.Contains(output, "the cache starts warm") {
		t.Errorf("got %q; want a word on the warm start", output)
	}
}

// TestCutMemoryFile cuts the memory's file off while the program runs: it ends, and says why.
func TestCutMemoryFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory")
	p, _ := startCache(t, "-m", "8", "-e", file)
	if err := os.Truncate(file, 4096); err != nil {
		t.Fatal(err)
	}
	want := "holdfast: cache: memory file " + file +
		": another program truncated it from 8388608 bytes to 4096 while it was in use\n"
	if got := p.exits(1); !strings.HasSuffix(got, want) {
		t.Errorf("got %q; want %q at its end", got, want)
	}
	start(t, "holdfast", "cache", "-u", "root", "-l", "127.0.0.1", "-p", "-1", "-m", "8", "-e", file).
		await("the cache starts empty.*it has 4096 bytes, and this cache.s memory 8388608")
}

func TestShutdownCommand(t *testing.T) {
	p, address := startCache(t, "-A")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "shutdown\r\n"); err != nil {
		t.Fatal(err)
	}
	p.exits(0)
}

func TestUnixSocketAndPorts(t *testing.T) {
	dir := t.TempDir()
	ports := filepath.Join(dir, "ports")
	t.Setenv("MEMCACHED_PORT_FILENAME", ports)
	p, address := startCache(t)
	_, port, _ := net.SplitHostPort(address)
	text, err := os.ReadFile(ports)
	if want := "TCP INET: " + port + "\n"; string(text) != want || err != nil {
		t.Errorf("got ports %q, %v; want %q", text, err, want)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)

	socket := filepath.Join(dir, "s")
	p = start(t, "memcached", "-u", "root", "-s", socket, "-a", "0750")
	p.await("serving memcached clients")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("got %v, %v; want a socket of mode 0750", info, err)
	}
	if got := ask(t, socket, "version\r\n", "\r\n"); !strings.HasPrefix(got, "VERSION ") {
		t.Errorf("got %q; want a version", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}

// The daemon's output ends when it lets go of the terminal, or with -v when it ends.
func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	pidFile, socket := filepath.Join(dir, "pid"), filepath.Join(dir, "s")
	p := start(t, "memcached", "-d", "-v", "-u", "root", "-P", pidFile, "-s", socket)
	p.await("serving memcached clients")
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var pid int
	text, err := os.ReadFile(pidFile)
	if _, scan := fmt.Sscan(string(text), &pid); err != nil || scan != nil {
		t.Fatalf("pid file: %q, %v", text, err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	if pid == p.cmd.Process.Pid {
		t.Error("the daemon is the command's own process")
	}
	if got, want := ask(t, socket, "stats\r\n", "END\r\n"), fmt.Sprintf("STAT pid %d\r\n", pid); !strings.Contains(got,
		want) {
		t.Errorf("got %q; want %q in it", got, want)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(p.output); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(pidFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v; want no pid file", err)
	}
}

func TestDaemonThatCannotStart(t *testing.T) {
	p := start(t, "memcached", "-d", "-u", "root", "-s", filepath.Join(t.TempDir(), "missing", "s"))
	if output := p.exits(71); !strings.Contains(output, "failed to listen on UNIX socket") {
		t.Errorf("got %q; want what failed", output)
	}
}

func TestRootMustSaySo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has a user to give up")
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"cache"}, 64, "must add '-u root' to start as root"},
		{[]string{"cache", "-u", "no-such-user"}, 67, "can't find the user no-such-user to switch to"},
	} {
		if output := start(t, "holdfast", test.args...).exits(test.code); !strings.Contains(output, test.want) {
			t.Errorf("%v: got %q; want %q in it", test.args, output, test.want)
		}
	}
}

func TestGivesUpRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has a user to give up")
	}
	p := start(t, "memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "-1")
	p.await("serving memcached clients")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	if got := regexp.MustCompile(`(?m)^(Uid|Gid|Groups):.*$`).FindAllString(string(status),
		-1); strings.Contains(got[0], "\t0") {
		t.Errorf("got %q; want no root", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}

func TestNamesOfTheProgram(t *testing.T) {
	p := start(t, "/usr/bin/memcached-debug", "-u", "root", "-l", "127.0.0.1", "-p", "-1", "-U", "11222", "-o",
		"relaxed_privileges")
	address := p.await(`serving memcached clients.*addresses=(\S+)`)[1]
	if got := ask(t, address, "debugtime p\r\n", "\r\n"); got != "OK\r\n" {
		t.Errorf("got %q; want OK", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
	if output := start(t, "memcached", "-h").exits(0); !strings.Contains(output, "usage: memcached [options]") {
		t.Errorf("got %q; want the cache's help", output)
	}
	if output := start(t, "holdfast", "help", "cache").exits(0); !strings.Contains(output,
		"usage: holdfast cache [options]") {
		t.Errorf("got %q; want the cache's help", output)
	}
}
