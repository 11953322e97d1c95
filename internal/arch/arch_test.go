// Package arch checks the module's layout: which package may import which, and what every file and
// package must have. It holds tests only. docs/architecture.md draws the same rows.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rows are the packages from the lowest row to the highest, by their path in the module; "" is the
// package at the root. A package may import packages of lower rows, never of its own row or of a
// higher one. Some names have no package yet.
var rows = [][]string{
	{""},
	{"mc", "ring", "journal", "item", "loop", "mrc", "discover", "yamltree", "session", "pulse"},
	{"mc/client"},
	{
		"cache", "route", "upstream", "shard", "cluster", "feed", "rpc", "partiql",
		"tool/replay", "tool/topology", "tool/transfer",
	},
	{"catalog", "index"},
	{"table", "router", "group", "config/mcrouter", "config/twemproxy", "feed/mysql", "feed/postgres", "feed/tables"},
	{"config", "server", "dynamodb", "console"},
	{"node", "sim"},
	{"cmd/holdfast"},
}

// only limits what a package may import further than its row does.
var only = map[string][]string{
	"cmd/holdfast": {
		"", "node", "config", "config/mcrouter", "config/twemproxy", "route",
		"tool/replay", "tool/topology", "tool/transfer",
	},
}

// testsOnly are packages that only tests import, if any do, and that import packages of the module
// only in tests.
var testsOnly = []string{"wire", "internal/arch", "internal/peer"}

// alone is a program that imports no package of the module, since it measures Holdfast in the same
// way as any other server.
const alone = "bench"

// forbidden are names that say nothing about a package's contents.
var forbidden = []string{"util", "utils", "common", "helper", "helpers", "base"}

// listed is the part of the output of go list -json that the tests need.
type listed struct {
	ImportPath string
	Module     struct{ Path string }
	Imports    []string // without those of tests
}

func TestArrows(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		for _, p := range list(t, system) {
			module := p.Module.Path
			name := within(module, p.ImportPath)
			for _, imported := range p.Imports {
				if imported != module && !strings.HasPrefix(imported, module+"/") {
					continue
				}
				if fault := arrow(name, within(module, imported)); fault != "" {
					t.Errorf("%s: %s", system, fault)
				}
			}
			if fault := place(name); fault != "" {
				t.Error(fault)
			}
		}
	}
}

// place returns why there may be no package of this name, or "".
func place(name string) string {
	for _, part := range strings.Split(name, "/") {
		if slices.Contains(forbidden, part) {
			return "package " + name + ": the name " + part + " says nothing about its contents"
		}
	}
	if row(name) < 0 && !slices.Contains(testsOnly, name) && name != alone {
		return "package " + name + " has no place in the layout: " +
			"add it to a row in internal/arch, and to docs/architecture.md"
	}
	return ""
}

// arrow returns why the package from may not import the package to, or "".
func arrow(from, to string) string {
	fault := "package " + show(from) + " imports " + show(to) + ": "
	fromRow, toRow := row(from), row(to)
	switch {
	case slices.Contains(testsOnly, to) || to == alone || toRow == len(rows)-1:
		return fault + "no package may import it"
	case slices.Contains(testsOnly, from):
		return fault + "it may import packages of the module only in tests"
	case from == alone:
		return fault + "it may import no package of the module"
	case fromRow < 0 || toRow < 0:
		return "" // place reports it
	case only[from] != nil && !slices.Contains(only[from], to):
		return fault + "it may import only " + show(only[from]...)
	case toRow == fromRow:
		return fault + "they are in one row; connect them in node"
	case toRow > fromRow:
		return fault + "that is in a higher row"
	}
	return ""
}

func TestArrow(t *testing.T) {
	for _, test := range []struct {
		from, to string
		allowed  bool
	}{
		{"cache", "mc", true},
		{"cache", "", true},
		{"node", "mc", true},
		{"cmd/holdfast", "node", true},
		{"cmd/holdfast", "cache", false},
		{"node", "cmd/holdfast", false},
		{"mc", "cache", false},
		{"mc", "mrc", false},
		{"", "mc", false},
		{"server", "config", false},
		{"wire", "mc", false},
		{"mc", "wire", false},
		{alone, "mc", false},
		{"feed", "feed/mysql", false},
		{"feed/mysql", "feed", true},
	} {
		if fault := arrow(test.from, test.to); (fault == "") != test.allowed {
			t.Errorf("%s → %s: got %q; want allowed %v", show(test.from), show(test.to), fault, test.allowed)
		}
	}
	for name, allowed := range map[string]bool{
		"": true, "mc": true, alone: true, "wire": true, "cache/util": false, "novel": false,
	} {
		if fault := place(name); (fault == "") != allowed {
			t.Errorf("%s: got %q; want allowed %v", show(name), fault, allowed)
		}
	}
}

func row(name string) int {
	return slices.IndexFunc(rows, func(row []string) bool { return slices.Contains(row, name) })
}

// within is the path in the module.
func within(module, importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func show(names ...string) string {
	shown := slices.Clone(names)
	for i, name := range shown {
		if name == "" {
			shown[i] = "the root"
		}
	}
	return strings.Join(shown, ", ")
}

// list returns the module's packages, as built for the system.
func list(t *testing.T, system string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Module,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var packages []listed
	for decoder := json.NewDecoder(out); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("output of go list: %v", err)
		}
		packages = append(packages, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(packages) == 0 {
		t.Fatal("go list named no packages")
	}
	return packages
}
