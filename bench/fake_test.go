package main

import (
	"bufio"
	"bytes"
	"container/list"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test's own binary stands for all programs that the parts start: with fakeEnv in its
// environment it is a cache, a router, a table store or a player, by its arguments, and with
// benchEnv it is bench itself. fakeEnv names a directory with a file for each process.
const (
	fakeEnv  = "BENCH_TEST_FAKE"
	modeEnv  = "BENCH_TEST_MODE" // what is wrong with the servers
	benchEnv = "BENCH_TEST_MAIN"
)

func TestMain(m *testing.M) {
	switch dir := os.Getenv(fakeEnv); {
	case os.Getenv(benchEnv) != "":
		os.Unsetenv(benchEnv) // of what it starts
		main()
	case dir != "":
		os.WriteFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), []byte(strings.Join(os.Args[1:], " ")), 0o600)
		fakeMain(os.Args[1:])
	default:
		os.Exit(m.Run())
	}
}

// The values of modeEnv.
const (
	refuses = "refuses" // sets
	dies    = "dies"    // with the hundredth request
	forgets = "forgets" // its memory file
	mute    = "mute"    // never answers
	few     = "few"     // the player reports on one server less
	loses   = "loses"   // every second item of a table

	unformed = "unformed" // no directory of a node is made
)

func inMode(mode string) bool { return os.Getenv(modeEnv) == mode }

func fakeMain(args []string) {
	switch args[0] {
	case "cache", "-U":
		fakeCache(args)
	case "up":
		if after(args, "--nodes") != "" {
			fakeForming(after(args, "--data"), after(args, "--http-listen"))
		}
		if after(args, "--tables-listen") == "" {
			fakeNode(after(args, "--config"))
		}
		fakeTables(after(args, "--tables-listen"), after(args, "--data"))
	case "--createTableMs":
		fakeTables("127.0.0.1:"+after(args, "--port"), after(args, "--path"))
	case "--name":
		fakeEtcdNode(args)
	case "router":
		fakeRouter(after(args, "--config"))
	case "replay":
		fakeReplay(args)
	default:
		fmt.Println("unknown command", args)
		os.Exit(1)
	}
}

// after is the argument behind a flag, "" without it.
func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// An lru is a cache of a number of items.
type lru struct {
	mu    sync.Mutex
	limit int
	order *list.List // of *entry, the most recently used first
	items map[string]*list.Element
	sets  int
}

type entry struct{ key, value string }

// itemsPerMiB is how many items a fake cache holds, whatever their size.
const itemsPerMiB = 100

func newLRU(limit int) *lru {
	return &lru{limit: limit, order: list.New(), items: map[string]*list.Element{}}
}

func (c *lru) get(key string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return "", false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).value, true
}

func (c *lru) set(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets++
	if e, ok := c.items[key]; ok {
		e.Value.(*entry).value = value
		c.order.MoveToFront(e)
		return
	}
	c.items[key] = c.order.PushFront(&entry{key, value})
	if c.order.Len() > c.limit {
		last := c.order.Back()
		delete(c.items, last.Value.(*entry).key)
		c.order.Remove(last)
	}
}

func fakeCache(args []string) {
	mib, _ := strconv.Atoi(after(args, "-m"))
	c := newLRU(mib * itemsPerMiB)
	file := after(args, "-e")
	if text, err := os.ReadFile(file); err == nil && !inMode(forgets) {
		for line := range strings.Lines(string(text)) {
			c.set(strings.TrimSpace(line), "kept")
		}
	}
	serveFake("127.0.0.1:"+after(args, "-p"), c.answer, func() {
		var keys strings.Builder
		for e := c.order.Back(); e != nil; e = e.Prev() {
			fmt.Fprintln(&keys, e.Value.(*entry).key)
		}
		if file != "" {
			os.WriteFile(file, []byte(keys.String()), 0o600)
		}
	})
}

// serveFake answers the requests of all connections until SIGTERM.
func serveFake(address string, answer func(in *bufio.Reader, out *bufio.Writer) error, end func()) {
	l := listenOrExit(address)
	var requests atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in, out := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
				for {
					if _, err := in.Peek(1); err != nil || inMode(mute) {
						return
					}
					if inMode(dies) && requests.Add(1) == 100 {
						fmt.Println("a fault of its own")
						os.Exit(3)
					}
					if answer(in, out) != nil || in.Buffered() == 0 && out.Flush() != nil {
						return
					}
				}
			}()
		}
	}()
	untilTold(end)
}

func listenOrExit(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return l
}

// untilTold waits for a signal to end, and ends the process.
func untilTold(end func()) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	end()
	os.Exit(0)
}

// answer serves one request of either protocol.
func (c *lru) answer(in *bufio.Reader, out *bufio.Writer) error {
	if first, _ := in.Peek(1); first[0] == 0x80 {
		return c.answerBinary(in, out)
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	switch words := strings.Fields(line); words[0] {
	case "get":
		for _, key := range words[1:] {
			if value, ok := c.get(key); ok {
				fmt.Fprintf(out, "VALUE %s 0 %d\r\n%s\r\n", key, len(value), value)
			}
		}
		out.WriteString("END\r\n")
	case "set":
		n, err := strconv.Atoi(words[4])
		if err != nil {
			return err
		}
		value := make([]byte, n+2)
		if _, err := io.ReadFull(in, value); err != nil {
			return err
		}
		if inMode(refuses) {
			out.WriteString("SERVER_ERROR full\r\n")
			break
		}
		c.set(words[1], string(value[:n]))
		out.WriteString("STORED\r\n")
	case "version":
		out.WriteString("VERSION fake\r\n")
	case "stats":
		c.mu.Lock()
		held := c.order.Len()
		fmt.Fprintf(out, "STAT curr_items %d\r\nSTAT bytes 1\r\nSTAT evictions %d\r\nEND\r\n", held, c.sets-held)
		c.mu.Unlock()
	default:
		out.WriteString("ERROR\r\n")
	}
	return nil
}

// answerBinary serves get, getkq and noop.
func (c *lru) answerBinary(in *bufio.Reader, out *bufio.Writer) error {
	var h [24]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return err
	}
	key := make([]byte, binary.BigEndian.Uint16(h[2:]))
	if _, err := io.ReadFull(in, key); err != nil {
		return err
	}
	answered := [24]byte{0: 0x81, 1: h[1]}
	if h[1] == 0x0a {
		out.Write(answered[:])
		return nil
	}
	value, ok := c.get(string(key))
	if !ok {
		return nil // a quiet miss; the others are not asked for what isn't there
	}
	body := "\x00\x00\x00\x00"
	if h[1] == 0x0d {
		binary.BigEndian.PutUint16(answered[2:], uint16(len(key)))
		body += string(key)
	}
	answered[4] = 4
	binary.BigEndian.PutUint32(answered[8:], uint32(len(body)+len(value)))
	out.Write(answered[:])
	out.WriteString(body + value)
	return nil
}

// fakeRouter is one cache that says by modulo which of its members owns a key.
func fakeRouter(config string) {
	var members atomic.Pointer[[]string]
	read := func() (listen string) {
		text, _ := os.ReadFile(config)
		list := strings.Split(regexp.MustCompile(`members: \[(.*)\]`).FindStringSubmatch(string(text))[1], ", ")
		members.Store(&list)
		return regexp.MustCompile(`listen: \["(.*)"\]`).FindStringSubmatch(string(text))[1]
	}
	address := read()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			read()
		}
	}()
	cache := newLRU(1000)
	serveFake(address, func(in *bufio.Reader, out *bufio.Writer) error {
		line, err := peekLine(in)
		if err != nil {
			return err
		}
		if key, ok := strings.CutPrefix(line, "get __mcrouter__.route(get,moved:"); ok {
			in.Discard(len(line))
			n, _ := strconv.Atoi(strings.TrimRight(key, ")\r\n"))
			owner := (*members.Load())[n%len(*members.Load())]
			fmt.Fprintf(out, "VALUE k 0 %d\r\n%s\r\nEND\r\n", len(owner), owner)
			return nil
		}
		if line == "stats\r\n" {
			in.Discard(len(line))
			fmt.Fprintf(out, "STAT router_members %d\r\nEND\r\n", len(*members.Load()))
			return nil
		}
		return cache.answer(in, out)
	}, func() {})
}

func peekLine(in *bufio.Reader) (string, error) {
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if err != nil || b[n-1] == '\n' {
			return string(b), err
		}
	}
}

// fakeReplay plays a file with a key on each line to each server: get, and set on a miss.
func fakeReplay(args []string) {
	text, err := os.ReadFile(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	keys := strings.Fields(string(text))
	if limit, _ := strconv.Atoi(after(args, "--limit")); limit > 0 {
		keys = keys[:min(limit, len(keys))]
	}
	size, _ := strconv.Atoi(after(args, "--value-size"))
	distinct := map[string]bool{}
	for _, key := range keys {
		distinct[key] = true
	}
	type row struct {
		HitRate float64 `json:"hit_rate"`
	}
	var reports []map[string]any
	for i, arg := range args {
		if arg != "--server" {
			continue
		}
		c, err := dial(args[i+1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		misses := 0
		for _, key := range keys {
			n, _ := strconv.ParseUint(key, 10, 64)
			found, err := c.get(n)
			if err == nil && found == 0 {
				misses++
				_, err = c.set(n, make([]byte, min(size, 100))) // the fakes count items
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		rate := 1 - float64(misses)/float64(len(keys))
		reports = append(reports, map[string]any{"requests": len(keys), "keys": len(distinct), "misses": misses,
			"items": size, "data_bytes": len(distinct) * size, "hit_rate_over_time": []row{{rate}, {rate}}})
	}
	if inMode(few) {
		reports = reports[1:]
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"reports": reports})
}

// fakeTables keeps the items of a BatchWriteItem in a file, and forgets what else it is given.
func fakeTables(address, dir string) {
	os.MkdirAll(dir, 0o700)
	file := filepath.Join(dir, "bulk")
	var mu sync.Mutex
	asked := 0
	mux := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		held, _ := os.ReadFile(file)
		answer := "{}"
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); op {
		case "DescribeTable":
			answer = `{"Table":{"TableStatus":"ACTIVE"}}`
		case "BatchWriteItem":
			n := bytes.Count(body, []byte("PutRequest"))
			if inMode(loses) {
				n /= 2
			}
			os.WriteFile(file, append(held, bytes.Repeat([]byte("x"), n)...), 0o600)
		case "Scan":
			page := min(len(held), 40)
			if bytes.Contains(body, []byte("ExclusiveStartKey")) {
				page = len(held) - page
				answer = fmt.Sprintf(`{"Items":[],"ScannedCount":%d}`, page)
				break
			}
			answer = fmt.Sprintf(`{"Items":[],"ScannedCount":%d,"LastEvaluatedKey":{"id":{"S":"x"}}}`, page)
		case "GetItem":
			answer = `{"Item":{"name":{"S":"somebody"}}}`
		case "Query":
			asked++
			answer = fmt.Sprintf(`{"Count":%d}`, asked%2) // the index is late each time
		}
		if inMode(refuses) && r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.CreateTable" {
			w.WriteHeader(400)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		io.WriteString(w, answer)
	}
	serveOrExit(&http.Server{Addr: address, Handler: http.HandlerFunc(mux)})
	untilTold(func() {})
}

// fakes has the programs that a part starts be fakes, and returns the path of all of them. At the
// test's end none of them may be alive, nor any temporary file.
func fakes(t *testing.T, mode string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv(fakeEnv, dir)
	t.Setenv(modeEnv, mode)
	t.Setenv("TMPDIR", temp)
	t.Cleanup(func() {
		for _, pid := range started(t, dir) {
			if !ended(pid) {
				args, _ := os.ReadFile(filepath.Join(dir, strconv.Itoa(pid)))
				t.Errorf("still there: %s", args)
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		left, _ := os.ReadDir(temp)
		if len(left) > 0 {
			t.Errorf("left in the directory of temporary files: %v", left)
		}
	})
	return self
}

// started are the fakes that were started.
func started(t *testing.T, dir string) (pids []int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pid, err := strconv.Atoi(f.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ended waits, for a bounded time, until a process has ended: one that was told to end by the
// kernel, and is nobody's child, may take a moment.
func ended(pid int) bool {
	for range 500 {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && bytes.Contains(state, []byte(") Z ")) {
			return true // nobody has waited for it yet
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
