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

// TestFiles checks what every Go file of the module has, whatever system it is for: no init, whose
// order nobody sees, and no more lines than one reads in a sitting. Each package says what it is.
func TestFiles(t *testing.T) {
	root := filepath.Join("..", "..")
	packages := make(map[string]bool) // folder → a file of it has the package's comment
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
		documented := checkFile(t, path)
		packages[filepath.Dir(path)] = packages[filepath.Dir(path)] || documented
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 2 {
		t.Fatalf("found Go files in %d folders; want the module's", len(packages))
	}
	for folder, documented := range packages {
		if !documented {
			t.Errorf("%s: no file has a comment that begins \"Package …\" or, for a program, \"Command …\"", folder)
		}
	}
}

// checkFile reports whether the file has the package's comment.
func checkFile(t *testing.T, path string) bool {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(source), "\n"); lines > maxLines {
		t.Errorf("%s: %d lines; at most %d, so that one can read it", path, lines, maxLines)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return false
	}
	if !strings.HasSuffix(path, "_test.go") {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init; pass in what it sets up", path)
			}
		}
	}
	doc := file.Doc.Text()
	if file.Name.Name == "main" {
		return strings.HasPrefix(doc, "Command ")
	}
	return strings.HasPrefix(doc, "Package "+strings.TrimSuffix(file.Name.Name, "_test")+" ")
}
