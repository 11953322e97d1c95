package ring

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// missing skips the test, which needs something that this machine hasn't, unless all must be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("HOLDFAST_PEERS") == "required" {
		t.Fatalf("%s is not installed, and HOLDFAST_PEERS=required", what)
	}
	t.Skipf("%s is not installed", what)
}

// find is the path of an installed program; without it the test is skipped.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// peerKeys are what the peers are asked for: common ones, of all lengths to 250, with tags, and
// with bytes of 0x80 and more.
func peerKeys() []string {
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("user:%d:profile", i))
	}
	for i := range 500 {
		keys = append(keys, strings.Repeat("k", i%240+1)+fmt.Sprint(i))
	}
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("a{%d}b{%d}", i%50, i), fmt.Sprintf("{}%d{x", i))
	}
	if runtime.GOARCH != "amd64" {
		return keys // where the peers may take char as unsigned, and hash the others otherwise
	}
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("clé-%c\xff%d", rune(0xc0+i), i))
	}
	return keys
}
