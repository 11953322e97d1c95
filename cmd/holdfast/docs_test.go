package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/route"
)

// section returns the part of a document below a heading, up to the next heading of the same depth
// or of a lesser one.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	depth := len(heading) - len(strings.TrimLeft(heading, "#"))
	for i := range depth {
		after, _, _ = strings.Cut(after, "\n"+strings.Repeat("#", i+1)+" ")
	}
	return after
}

// tableRows returns the cells of each line of a document's tables.
func tableRows(text string) (rows [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x00", "|"))
		}
		rows = append(rows, cells)
	}
	return rows
}

// flatten puts each setting below v into all, by its path in the file, with its default as
// operations.md writes it. A list of pools stands for its first pool.
func flatten(all map[string]string, path string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.Zero(v.Type().Elem())
		} else {
			v = v.Elem()
		}
	}
	if strings.HasSuffix(path, "_bytes") {
		all[path] = config.Bytes(v.Int()).String()
		return
	}
	if strings.Contains(path, ".route.") { // routes nest
		return
	}
	if _, ok := v.Interface().(fmt.Stringer); v.Kind() != reflect.Struct || ok {
		all[path] = defaultOf(v)
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := strings.TrimPrefix(path+"."+field.Tag.Get("yaml"), ".")
		switch {
		case field.Anonymous:
			flatten(all, path, v.Field(i))
		case field.Tag.Get("yaml") == "-" || field.Tag.Get("yaml") == "":
		case field.Name == "Pools":
			flatten(all, key+"[]", v.Field(i).Index(0))
		default:
			flatten(all, key, v.Field(i))
		}
	}
}

func defaultOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		if x > 0 && x%(24*time.Hour) == 0 {
			return fmt.Sprintf("%dd", x/(24*time.Hour))
		}
		return x.String()
	case []config.Listener:
		return "[" + x[0].Address + "]"
	case []config.RouterListener:
		return "[" + x[0].Address + "]"
	case slog.Level:
		return strings.ToLower(x.String())
	}
	if (v.Kind() == reflect.String || v.Kind() == reflect.Slice) && v.Len() == 0 {
		return "–"
	}
	return fmt.Sprint(v.Interface())
}

// elsewhere are the settings of a router that router.md describes, and no row of a table can.
var elsewhere = []string{"pools[].name", "pools[].members", "pools[].hash.", "pools[].failover", "pools[].warm_from",
	"route.", "clusters", "default_cluster"}

// Every setting has a row in operations.md with the default that the program has, and each row is
// of a setting.
func TestDefaultsOfOperations(t *testing.T) {
	c := config.Default()
	file, err := config.ParseRouter([]byte("router: {pools: [{name: p, members: [127.0.0.1:1], failover: g}, " +
		"{name: g, members: [127.0.0.1:2]}]}"))
	if err != nil {
		t.Fatal(err)
	}
	c.Router = file.Router
	cluster, err := config.Parse([]byte("cluster: {name: a}"))
	if err != nil {
		t.Fatal(err)
	}
	c.Cluster = &config.Cluster{CompareEvery: cluster.Cluster.CompareEvery} // the others are said in words
	replicated := route.Options{Pools: []route.Pool{{Kind: route.Replicated}}}
	replicated.SetDefaults()
	p := &c.Router.Pools[0] // with the defaults of both kinds
	p.Acknowledge, p.Read, p.RefillRate = replicated.Pools[0].Acknowledge, replicated.Pools[0].Read,
		replicated.Pools[0].RefillRate
	settings := map[string]string{}
	flatten(settings, "", reflect.ValueOf(c))

	documented := map[string]bool{}
	for _, row := range tableRows(section(t, "docs/operations.md", "## Settings")) {
		keys := regexp.MustCompile("`([a-z_.\\[\\]…]+)`").FindAllStringSubmatch(row[0], -1)
		first, _, _ := strings.Cut(strings.NewReplacer("`", "", `"`, "", ";", ":").Replace(row[1]), ": ")
		values := strings.Split(first, ", ")
		section := ""
		for i, k := range keys {
			key := k[1]
			if strings.Contains(key, ".") {
				section = key[:strings.LastIndex(key, ".")+1]
			} else {
				key = section + key // as in `cache.tls.certificate`, `key`
			}
			documented[key] = true
			if group, ok := strings.CutSuffix(key, ".…"); ok {
				markGroup(documented, settings, group+".")
				continue
			}
			want, ok := settings[key]
			if value := values[min(i, len(values)-1)]; !ok || value != want {
				t.Errorf("%s: operations.md has the default %q; the program has %q (known: %v)", key, value, want, ok)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		of, router := strings.CutPrefix(key, "router.")
		if router && slices.ContainsFunc(elsewhere, func(e string) bool { return of == e || strings.HasPrefix(of, e) }) {
			continue
		}
		if !documented[key] {
			t.Errorf("%s, default %s: operations.md has no row", key, settings[key])
		}
	}
}

// markGroup marks the settings below a path that has one row for all.
func markGroup(documented map[string]bool, settings map[string]string, path string) {
	for key := range settings {
		if strings.HasPrefix(key, path) {
			documented[key] = true
		}
	}
}

// timeouts are where the program has the times of operations.md's table: a package, and an
// expression of which the group is a duration.
var timeouts = map[string][2]string{
	"a request that has arrived in part waits for the rest":        {"server", `o\.StallTimeout, (.*)\)`},
	"a client takes nothing of its answers":                        {"server", `o\.StallTimeout, (.*)\)`},
	"the same, while too many answers wait":                        {"server", `shortStall += (.*)`},
	"a TLS handshake":                                              {"server", `handshakeTimeout += (.*)`},
	"the answer to a wrong password":                               {"server", `wrongPasswordPause += (.*)`},
	"a clean stop: each server's connections get their answers":    {"node", `drainTimeout += (.*)`},
	"after the process had no file descriptor for a connection":    {"loop", `acceptPause += (.*?) //`},
	"the certificate's files are checked, at most every":           {"server", `certificateCheck += (.*)`},
	"the router checks its file every":                             {"node", `p\.poll = (time.*)`},
	"the router looks up its members' names every":                 {"discover", `defaultInterval += (.*)`},
	"the router renews the members' marks every":                   {"router", `markRound += (.*)`},
	"HTTP: a request must have arrived after":                      {"node", `httpReadTimeout += (.*)`},
	"HTTP: an idle connection":                                     {"node", `httpIdleTimeout += (.*)`},
	"HTTP: a scrape of /metrics":                                   {"node", `httpScrapeTimeout += (.*)`},
	"tables: a header, or a body of up to 64 KiB":                  {"node", `tablesHeaderTime += (.*)`},
	"tables: a longer body, besides a second for each 256 KiB":     {"dynamodb", `bodyTimeLeast += (.*)`},
	"tables: a response is sent":                                   {"node", `tablesWriteTimeout += (.*)`},
	"tables: an idle connection":                                   {"node", `tablesIdleTimeout += (.*)`},
	"tables: a request over the memory budget waits":               {"dynamodb", `memoryWait += (.*)`},
	"tables: a cluster executes a request, or answers 500":         {"dynamodb", `clusterTime = (.*)`},
	"tables: a request waits for a node of the cluster that leads": {"node", `forwardPatience += (.*)`},
	"tables: the same, from when the last one was lost":            {"node", `leaderlessPatience = (.*)`},
	"tables: a node of the cluster that has lost its leadership is waited for": {"node",
		`formerPatience = (.*)`},
	"tables: a session is kept by a node of a cluster that can't reach the one that leads": {"session",
		`const Lease = (.*)`},
	"tables: a session is kept after its last request":        {"session", `defaultIdle += (.*)`},
	"tables: a signature's time may differ from the clock by": {"dynamodb", `signatureSkew += (.*)`},
	"tables: a transaction's token is kept for":               {"shard", `TokenAge = (.*)`},
}

// The table of time-outs has those that the program has.
func TestTimeoutsOfOperations(t *testing.T) {
	link := regexp.MustCompile(`\[(.*?)\]\(.*?\)`)
	rows := tableRows(section(t, "docs/operations.md", "### Time-outs that are not settings"))[1:]
	for _, row := range rows {
		what := strings.ReplaceAll(link.ReplaceAllString(row[0], "$1"), "`", "")
		at, ok := timeouts[what]
		if !ok {
			t.Errorf("%q: the test doesn't know where the program has it", what)
			continue
		}
		got, err := time.ParseDuration(strings.NewReplacer(" ", "", "min", "m").Replace(row[1]))
		if want := durationIn(t, at[0], at[1]); err != nil || got != want {
			t.Errorf("%q: operations.md has %s; %s has %v", what, row[1], at[0], want)
		}
	}
	if len(rows) != len(timeouts) {
		t.Errorf("got %d rows; want %d", len(rows), len(timeouts))
	}
}

// durationIn evaluates the expression that the pattern finds in a package of the program.
func durationIn(t *testing.T, directory, pattern string) time.Duration {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil || strings.HasSuffix(file, "_test.go") {
			continue
		}
		e, err := parser.ParseExpr(string(m[1]))
		if err != nil {
			t.Fatalf("%s: %s: %v", file, m[1], err)
		}
		return evaluate(t, e)
	}
	t.Fatalf("%s has no %s", directory, pattern)
	return 0
}

// evaluate knows products of numbers and time's units.
func evaluate(t *testing.T, e ast.Expr) time.Duration {
	t.Helper()
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == token.MUL {
			return evaluate(t, e.X) * evaluate(t, e.Y)
		}
	case *ast.BasicLit:
		n, err := strconv.Atoi(e.Value)
		if err == nil {
			return time.Duration(n)
		}
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute,
			"Hour": time.Hour}
		if unit, ok := units[e.Sel.Name]; ok {
			return unit
		}
	}
	t.Fatalf("got %#v; want a product of numbers and units of time", e)
	return 0
}

// others are quotations of operations.md that aren't texts of the program's own, or that it puts
// together from words.
var others = regexp.MustCompile(`^(holdfast|up|cache|config|NEW|mount|curl|stats|mg|cas) |holdfast_|==|` +
	`^(router: )?\d+ pools|\.manifest\.\*|\.format-version\.\*|^pebble is missing$|^control is |\.log (is|has)|` +
	`^Out of memory|^journal: write `)

// Every message that operations.md quotes is one that the program has, so that it can be found by
// what a log says.
func TestMessagesOfOperations(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile("(?s)```.*?```").ReplaceAll(text, nil)
	joined := strings.Join(strings.Fields(string(text)), " ") // a quotation may go over the end of a line
	program := literals(t)
	n := 0
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(joined, -1) {
		quoted := m[1]
		if len(strings.Fields(quoted)) < 3 || others.MatchString(quoted) {
			continue
		}
		n++
		for part := range strings.SplitSeq(quoted, "…") {
			if part = strings.Trim(part, " :/"); !isCovered(part, program) {
				t.Errorf("operations.md quotes %q; the program has no text with %q", quoted, part)
			}
		}
	}
	if n < 30 {
		t.Errorf("got %d messages; want at least 30", n)
	}
}

// errnos are the system's own texts.
var errnos = []string{"no space left on device", "address already in use"}

// isCovered reports whether the pieces make up the text, but for single words.
func isCovered(text string, pieces []string) bool {
	const word = 12
	for rest, uncovered := text, 0; rest != ""; {
		longest := 0
		for _, piece := range pieces {
			if strings.HasPrefix(rest, piece) {
				longest = max(longest, len(piece))
			}
			if strings.HasPrefix(piece, rest) || strings.Contains(piece, text) {
				longest = len(rest)
			}
		}
		if uncovered++; longest > 0 {
			uncovered = 0
		}
		if uncovered > word {
			return false
		}
		rest = rest[max(longest, 1):]
	}
	return true
}

// literals are the program's texts, cut where formats have verbs.
func literals(t *testing.T) (pieces []string) {
	t.Helper()
	verb := regexp.MustCompile(`%[-+#0-9.*]*[a-zA-Z]`)
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, piece := range verb.Split(textOf(n), -1) {
				if piece = strings.Trim(piece, " :/"); len(piece) >= 8 {
					pieces = append(pieces, piece)
				}
			}
			_, isSum := n.(*ast.BinaryExpr)
			return !isSum || textOf(n) == ""
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(pieces, errnos...)
}

// textOf is the value of a literal, or of a sum of literals; what else it adds is a verb.
func textOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			s, _ := strconv.Unquote(n.Value)
			return s
		}
	case *ast.BinaryExpr:
		if n.Op == token.ADD {
			left, right := textOf(n.X), textOf(n.Y)
			if left+right == "" {
				return ""
			}
			return cmp.Or(left, "%s") + cmp.Or(right, "%s")
		}
	}
	return ""
}
