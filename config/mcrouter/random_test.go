package mcrouter_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"holdfast/config"
	"holdfast/config/mcrouter"
	"holdfast/route"
)

// nested returns a random route of at most the given depth: a handle of TestHandles whose
// DevNullRoutes are replaced by others.
func nested(r *rand.Rand, depth int) string {
	text := handles[r.IntN(len(handles))].route
	if depth == 0 {
		return text
	}
	parts := strings.Split(text, `"DevNullRoute"`)
	for i := range parts[1:] {
		parts[i+1] = nested(r, depth-1) + parts[i+1]
	}
	return strings.Join(parts, "")
}

// TestRandomFilesPrint parses files of random routes. Each fault has a path in the file, and
// options without faults print as a file of Holdfast's that parses to the same options.
func TestRandomFilesPrint(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	whole := 0
	for range 1500 {
		clusters := make([]string, 1+r.IntN(3))
		for i := range clusters {
			clusters[i] = fmt.Sprintf(`{"aliases": ["/%s/./"], "route": %s}`, []string{".", "a", "b"}[i], nested(r, 3))
		}
		text := `{"pools": {"A": {"servers": ["a:1", "[::1]:2"], "tags": ["x", "y: #"]}, "B": {"inherit": "A"},
			"Z": {"servers": []}}, "routes": [` + strings.Join(clusters, ", ") + `]}`
		o, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{})
		if err != nil {
			for _, fault := range err.(route.Faults) {
				if !strings.HasPrefix(fault.Path, "routes") && !strings.HasPrefix(fault.Path, "pools") {
					t.Errorf("%s: got %v; want a path in the file", text, fault)
				}
			}
			continue
		}
		o.SetDefaults()
		if faults := o.Check(); len(faults) > 0 {
			continue
		}
		whole++
		printed := config.NewMcrouter(o).Print()
		c, err := config.Parse(printed)
		if err != nil {
			t.Errorf("%s: printed\n%s\ngot %v", text, printed, err)
		} else if !reflect.DeepEqual(c.Router.Options, o) {
			t.Errorf("%s: printed\n%s\ngot %+v", text, printed, c.Router.Options)
		}
	}
	if whole < 200 {
		t.Errorf("got %d files without faults; want hundreds", whole)
	}
}
