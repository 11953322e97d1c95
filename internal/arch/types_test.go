package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	// maxMethods is the limit of methods of a type. A type with more owns two things.
	maxMethods = 30
	// maxLargeMethods is that of the types in large.
	maxLargeMethods = 50
	// maxColumns is where a line of code ends, in characters, of which a tab is one.
	maxColumns = 120
)

// large are the types that had more than maxMethods methods when that limit was set. The list only
// becomes shorter.
var large = []string{
	"cache.lane", "config/mcrouter.builder", "item.parser", "partiql.parser", "router.Router", "router.builder",
	"table.Store", "table.live", "tool/topology.run",
}

// TestMethods counts the methods of each type, whatever system their files are for. A method that
// several systems have, each in a file of its own, counts once.
func TestMethods(t *testing.T) {
	methods := make(map[string]map[string]bool) // path of the package and type → names
	eachFile(t, func(path string, _ []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), filepath.Join("..", "..")+string(filepath.Separator)))
			name := dir + "." + receiver(f.Recv.List[0].Type)
			if methods[name] == nil {
				methods[name] = make(map[string]bool)
			}
			methods[name][f.Name.Name] = true
		}
	})
	for name, of := range methods {
		limit := maxMethods
		if slices.Contains(large, name) {
			limit = maxLargeMethods
		}
		if len(of) > limit {
			t.Errorf("%s: %d methods; at most %d", name, len(of), limit)
		}
	}
	for _, name := range large {
		if len(methods[name]) <= maxMethods {
			t.Errorf("%s has %d methods, and is no longer large", name, len(methods[name]))
		}
	}
}

// receiver is the name of the type in a method's receiver.
func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return "?"
}

// TestColumns checks the length of lines. Lines with a part of a raw string are left out, since it
// can't be broken.
func TestColumns(t *testing.T) {
	eachFile(t, func(path string, source []byte) {
		for _, n := range longLines(t, path, source) {
			t.Errorf("%s:%d: more than %d columns", path, n, maxColumns)
		}
	})
}

// longLines returns the numbers of the lines that are too long.
func longLines(t *testing.T, path string, source []byte) (numbers []int) {
	var raw []int // numbers of lines with a part of a raw string
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if ok && lit.Kind == token.STRING && lit.Value[0] == '`' {
			first := files.Position(lit.Pos()).Line
			for i := range strings.Count(lit.Value, "\n") + 1 {
				raw = append(raw, first+i)
			}
		}
		return true
	})
	n := 0
	for line := range strings.Lines(string(source)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > maxColumns && !slices.Contains(raw, n) && !strings.HasPrefix(line, "//go:") {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("é", maxColumns-2)
	for _, test := range []struct {
		source string
		want   []int
	}{
		{"package p\n\n//" + long + "\n", nil},
		{"package p\n\n///" + long + "\n", []int{3}},
		{"package p\n\nvar a = \"" + long + "\"\n", []int{3}},
		{"package p\n\nvar a = `" + long + "`\nvar b = `\n" + long + long + "\n`\n", nil},
		{"package p\n\n//go:generate " + long + "\nvar b = 1\n", nil},
	} {
		if got := longLines(t, "p.go", []byte(test.source)); !slices.Equal(got, test.want) {
			t.Errorf("%.40q: got %d; want %d", test.source, got, test.want)
		}
	}
}
