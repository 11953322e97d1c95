package wire

import (
	"bufio"
	"strings"
	"testing"
)

// TestStatsNames checks that tools that read memcached's statistics find each name, except for
// those of memcached's external storage.
func TestStatsNames(t *testing.T) {
	theirs := start(t, memcached(t, find(t, "memcached")))
	ours := start(t, holdfast(t))
	for _, group := range []string{"stats", "stats settings"} {
		have := statNames(t, ours, group)
		for name := range statNames(t, theirs, group) {
			if !have[name] && !strings.HasPrefix(name, "ext_") {
				t.Errorf("%s: %s is missing", group, name)
			}
		}
	}
}

// statNames fails if a name comes twice.
func statNames(t *testing.T, server *process, group string) map[string]bool {
	t.Helper()
	c := dial(t, server)
	if _, err := c.Write([]byte(group + "\r\n")); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "END"; {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "STAT" || names[fields[1]] {
			t.Fatalf("%s: got %q; want a name that was not there before", group, lines.Text())
		}
		names[fields[1]] = true
	}
	return names
}
