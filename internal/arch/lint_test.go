package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const maxLines = 600 // of a file; most are 100 to 400

// TestFiles checks every Go file of the module, for whatever system it is: there is no init, whose
// order is hidden, and no file with more lines than one can read at once. Each package has a
// comment.
func TestFiles(t *testing.T) {
	packages := make(map[string]bool) // directory → one of its files has the package's comment
	eachFile(t, func(path string, source []byte) {
		documented := checkFile(t, path, source)
		packages[filepath.Dir(path)] = packages[filepath.Dir(path)] || documented
	})
	if len(packages) < 2 {
		t.Fatalf("found Go files in %d directories; want the module's", len(packages))
	}
	for directory, documented := range packages {
		if !documented {
			t.Errorf("%s: no file has a comment that begins \"Package …\" or, for a program, \"Command …\"", directory)
		}
	}
}

// eachFile calls check with each Go file of the module.
func eachFile(t *testing.T, check func(path string, source []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		check(path, source)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkFile reports whether the file has the package's comment.
func checkFile(t *testing.T, path string, source []byte) bool {
	t.Helper()
	if lines := strings.Count(string(source), "\n"); lines > maxLines {
		t.Errorf("%s: got %d lines; want at most %d", path, lines, maxLines)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return false
	}
	if !strings.HasSuffix(path, "_test.go") {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: got func init; pass its results as options instead", path)
			}
		}
	}
	doc := file.Doc.Text()
	if file.Name.Name == "main" {
		return strings.HasPrefix(doc, "Command ")
	}
	return strings.HasPrefix(doc, "Package "+strings.TrimSuffix(file.Name.Name, "_test")+" ")
}
