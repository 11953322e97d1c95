package ring

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"holdfast/internal/peer"
)

// libmemcachedScript reads keys and prints the server that libmemcached places each on. It prints a
// line for each hash, by number, which is empty if libmemcached is built without it. Its arguments
// are the distribution and the servers as NAME:PORT:WEIGHT.
const libmemcachedScript = `
import ctypes, sys
try:
    lib = ctypes.CDLL("libmemcached.so.11")
except OSError:
    sys.exit(3)
lib.memcached_create.restype = ctypes.c_void_p
HASH, DISTRIBUTION, WEIGHTED = 2, 9, 16

def call(name, *args):
    return getattr(lib, name)(*args) == 0

keys = sys.stdin.buffer.read().split(b"\n")
for number in range(11):
    m = ctypes.c_void_p(lib.memcached_create(None))
    if sys.argv[1] == "weighted":
        ok = call("memcached_behavior_set", m, WEIGHTED, ctypes.c_uint64(1))
    else:
        ok = call("memcached_behavior_set", m, DISTRIBUTION, ctypes.c_uint64(int(sys.argv[1])))
    built_in = call("memcached_behavior_set", m, HASH, ctypes.c_uint64(number)) # before there are servers with points
    for server in sys.argv[2:]:
        name, port, weight = server.split(":")
        ok = ok and call("memcached_server_add_with_weight", m, name.encode(), int(port), int(weight))
    if not ok:
        sys.exit("libmemcached refused its options")
    if built_in:
        print(*[lib.memcached_generate_hash(m, key, ctypes.c_size_t(len(key))) for key in keys])
    else:
        print()
`

// libmemcachedHashes are its hashes by number.
var libmemcachedHashes = []string{"one_at_a_time", "md5", "crc32", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32",
	"hsieh", "murmur", "jenkins", "murmur3"}

// libmemcachedOwners returns the server that libmemcached places each key on, by hash.
func libmemcachedOwners(t *testing.T, distribution string, members []Member, keys []string) [][]string {
	t.Helper()
	args := []string{"-c", libmemcachedScript, distribution}
	for _, m := range members {
		args = append(args, fmt.Sprintf("%s:%d", m.Name, m.Weight))
	}
	cmd := exec.Command(peer.Find(t, "python3"), args...)
	cmd.Stdin = strings.NewReader(strings.Join(keys, "\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 3 {
		peer.Missing(t, "libmemcached.so.11")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var owners [][]string
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		owners = append(owners, strings.Fields(line))
	}
	return owners
}

// TestLibmemcached compares rings with Debian's libmemcached, called from Python.
func TestLibmemcached(t *testing.T) {
	keys := peerKeys()
	for _, test := range []struct {
		placement, distribution string
		weights                 []int
	}{
		{"libmemcached_modulo", "0", []int{1, 1, 1, 1, 1}},
		{"libmemcached_ketama", "1", []int{1, 1, 1, 1, 1, 1, 1}},
		{"libmemcached_ketama", "1", []int{1, 3, 2}},
		{"ketama", "weighted", []int{1, 1, 1, 1, 1}},
		{"ketama", "weighted", []int{10, 25, 1, 300}},
	} {
		var members []Member
		for i, weight := range test.weights {
			members = append(members, Member{fmt.Sprintf("10.0.0.%d:%d", i, 11211+i), weight})
		}
		for number, owners := range libmemcachedOwners(t, test.distribution, members, keys) {
			function := libmemcachedHashes[number]
			if len(owners) == 0 {
				t.Logf("libmemcached is built without %s", function)
				continue
			}
			r := mustNew(t, Options{Placement: test.placement, Function: function}, members)
			wrong := 0
			for i, want := range owners {
				if got := fmt.Sprint(r.Owner([]byte(keys[i]))); got != want {
					if wrong++; wrong == 1 {
						t.Errorf("%s by %s of %v: %q: got %s; want %s as libmemcached",
							test.placement, function, members, keys[i], got, want)
					}
				}
			}
			if wrong > 1 {
				t.Errorf("and %d more of %d keys", wrong-1, len(keys))
			}
		}
	}
}
