package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/route"
)

// unchecked are the settings that accept any text: names of files, which are opened later, and
// texts that only clients send; and those whose type has no other values.
var unchecked = []string{"cache.memory_file", "cache.auth_file", "cache.tls.certificate", "cache.tls.key",
	"cache.tls.client_ca", "tables.keys_file", "tables.tls.certificate", "tables.tls.key", "tables.tls.client_ca",
	"cache.ttl[0].prefix", "http.hosts", "http.hosts[0]", "cache.ttl", "cache.listen[0].mode", "log.level",
	"cluster.seeds", "cluster.members"}

// TestEverySettingIsChecked gives each setting outside of the router's section values that make no
// sense: one of them at least is refused, with a path that begins with the setting's. So a setting
// without a check is found.
func TestEverySettingIsChecked(t *testing.T) {
	values := []string{"-1", "-1s", "9999TiB", "'x y'", "''", "1.5ms", "99999999999", "1.5", "[]"}
	n := 0
	for _, s := range settings(reflect.TypeFor[Config](), "", "") {
		if s.path == "" || strings.HasPrefix(s.path, "router") || s.kind.Kind() == reflect.Struct ||
			slices.Contains(unchecked, s.path) || s.kind.Kind() == reflect.Bool {
			continue
		}
		n++
		refused := func(value string) bool {
			if len(decode(s.file(value), new(Config))) > 0 {
				return false // by its type, which other tests are about
			}
			_, err := Parse(s.file(value))
			faults, _ := err.(route.Faults)
			return slices.ContainsFunc(faults, func(f route.Fault) bool {
				return strings.HasPrefix(withoutLabels(f.Path), withoutLabels(s.path)) || // or that of the element
					strings.HasPrefix(s.path, withoutLabels(f.Path)+".")
			})
		}
		if !slices.ContainsFunc(values, refused) {
			t.Errorf("%s: got none of %q refused; want a check", s.path, values)
		}
	}
	if n < 30 {
		t.Errorf("got %d settings; want more: the walk misses some", n)
	}
}

// withoutLabels removes the texts that name the elements of lists in a path.
func withoutLabels(path string) string {
	return regexp.MustCompile(` "[^"]*"`).ReplaceAllString(path, "")
}

// TestEachMappingRefusesDuplicateKeys sets a key twice in each mapping: the file isn't valid YAML,
// and the message has the line.
func TestEachMappingRefusesDuplicateKeys(t *testing.T) {
	for _, s := range settings(reflect.TypeFor[Config](), "", "") {
		if s.kind.Kind() != reflect.Struct || s.path == "" {
			continue
		}
		text := s.file("{name: a, name: b}")
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "[1:") ||
			!strings.Contains(err.Error(), "already defined") {
			t.Errorf("%s: got %v; want that the key is already defined, with its place", text, err)
		}
	}
}

// TestExamplesOfTheDocuments parses each block of YAML in README.md and docs: all are files of
// Holdfast's or parts of its router's section, unless they leave something out or are twemproxy's.
func TestExamplesOfTheDocuments(t *testing.T) {
	paths, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, path := range append(paths, "../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			example := block[1]
			if strings.Contains(example, "...") || regexp.MustCompile(`(?m)^\s+redis|^  listen: |^\w+:\n  listen: [^\n]*\n  hash`).
				MatchString(example) {
				continue
			}
			var faults route.Faults
			if strings.HasPrefix(example, " ") { // a part of the router's section, whose pools it may not have
				faults = decode([]byte("router:\n"+example), new(Config))
			} else if _, err := Parse([]byte(example)); err != nil {
				faults = err.(route.Faults)
			}
			if len(faults) > 0 {
				t.Errorf("%s: got %v in\n%s", path, faults, example)
			}
			parsed++
		}
	}
	if parsed < 3 {
		t.Errorf("got %d examples; want more", parsed)
	}
}
