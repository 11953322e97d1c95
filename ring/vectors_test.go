package ring

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The vectors are values that the peers' own tests expect.

// lines returns the lines of a file in testdata except comments.
func lines(t *testing.T, name string) []string {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if line := scanner.Text(); !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// mustNew calls New and fails the test on an error.
func mustNew(t testing.TB, o Options, members []Member) *Ring {
	t.Helper()
	r, err := New(o, members)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// named returns n members, named by format and their index.
func named(format string, n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i].Name = fmt.Sprintf(format, i)
	}
	return members
}

func TestFunctions(t *testing.T) {
	for _, line := range lines(t, "functions.txt") {
		fields := strings.SplitN(line, " ", 3)
		want, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := functions[fields[0]].of([]byte(fields[2])); got != want {
			t.Errorf("%s of %q: got %d; want %d", fields[0], fields[2], got, want)
		}
	}
}

func TestSpooky(t *testing.T) {
	want := strings.Fields(strings.Join(lines(t, "spooky.txt"), " "))
	message := make([]byte, len(want))
	for i := range message {
		message[i] = byte(i + 128)
		if got := fmt.Sprintf("%08x", spooky32(message[:i], 0)); got != want[i] {
			t.Errorf("of %d bytes: got %s; want %s", i, got, want[i])
		}
	}
}

func TestFurc(t *testing.T) {
	for _, line := range lines(t, "ch3.txt") {
		var key string
		var n, want uint32
		if _, err := fmt.Sscanf(line, "%q %d %d", &key, &n, &want); err != nil {
			t.Fatal(err)
		}
		if got := furc(murmur64A([]byte(key), furcSeed), n); got != want {
			t.Errorf("%q among %d: got %d; want %d", key, n, got, want)
		}
	}
}

// checksum computes the checksum of mcrouter's tests over the owners of many keys, each of which
// key returns for its number.
func checksum(keys int, key func(int) string, owner func([]byte) int) uint32 {
	sum := uint32(0)
	for i := range keys {
		sum = sum*31 + uint32(owner([]byte(key(i))))
	}
	return sum
}

func letterK(i int) string { return "k" + strconv.Itoa(i) }

// longKey returns a key of 128 letters and a number, as in mcrouter's longKeyBulkChecksum….
func longKey(i int) string {
	letters := make([]byte, 128)
	for i := range letters {
		letters[i] = byte('A' + i%26)
	}
	return string(letters) + strconv.Itoa(i)
}

// TestCH3 compares with the checksums of mcrouter/lib/fbi/test/hash_test.cpp (bulk_checksum).
func TestCH3(t *testing.T) {
	for n, want := range map[int]uint32{
		2: 1346413954, 3: 914505363, 5: 1517365794, 7: 4252552508, 10: 2894016351, 16: 2995729350, 50: 1717182892,
		100: 2289223413, 500: 2400597860, 1000: 2251851331, 5000: 2711796627, 10000: 1328492545, 100000: 1053928120,
	} {
		r := mustNew(t, Options{Placement: "ch3"}, make([]Member, n))
		if got := checksum(100_000, letterK, r.Owner); got != want {
			t.Errorf("among %d: got %d; want %d", n, got, want)
		}
	}
}

// TestWeightedCH3 compares with the checksums of mcrouter/lib/test/WeightedCh3HashFuncTest.cpp.
func TestWeightedCH3(t *testing.T) {
	for _, test := range []struct {
		name   string
		weight float64
		key    func(int) string
		keys   int
		want   map[int]uint32
	}{
		{"unit", 1, letterK, 100_000, map[int]uint32{2: 1346413954, 10: 2894016351, 1000: 2251851331}},
		{"half", 0.5, letterK, 10_000, map[int]uint32{
			2: 2395690262, 10: 547444706, 100: 2951198297, 1000: 1336857622, 10000: 3378951161}},
		{"zero", 0, letterK, 10_000, map[int]uint32{2: 3431444300, 10: 1290067504, 100: 2604325093, 1000: 337394182}},
		{"half, long keys", 0.5, longKey, 10_000, map[int]uint32{
			2: 3784301429, 10: 707485837, 100: 4273108085, 1000: 954106693}},
		{"zero, long keys", 0, longKey, 10_000, map[int]uint32{2: 2171781178, 10: 2937312667, 100: 532711027}},
	} {
		for n, want := range test.want {
			weights := slices.Repeat([]float64{test.weight}, n)
			r := mustNew(t, Options{Placement: "weighted_ch3", Weights: weights}, make([]Member, n))
			if got := checksum(test.keys, test.key, r.Owner); got != want {
				t.Errorf("%s, among %d: got %d; want %d", test.name, n, got, want)
			}
		}
	}
	mixed := mustNew(t, Options{Placement: "weighted_ch3", Weights: []float64{1, 0.5, 0, 0.75, 1}}, make([]Member, 5))
	got := checksum(10_000, func(i int) string { return "d" + strconv.Itoa(i) }, mixed.Owner)
	if got != 2309057571 {
		t.Errorf("mixed: got %d; want 2309057571", got)
	}
}

// counts returns how many of the keys prefix0, prefix1, … each member owns.
func counts(r *Ring, prefix string, keys int) []int {
	counts := make([]int, r.Len())
	for i := range keys {
		counts[r.Owner([]byte(prefix+strconv.Itoa(i)))]++
	}
	return counts
}

// TestMcrouterCounts compares with the counts of mcrouter/lib/test: Ch3HashTest.cpp,
// WeightedCh3HashFuncTest.cpp, RendezvousHashTest.cpp and WeightedRendezvousHashTest.cpp.
func TestMcrouterCounts(t *testing.T) {
	tenths := []float64{0.429, 0.541, 0.117, 0.998, 0.283, 0.065, 0.109, 0.042, 0.676, 0.943}
	halves := []float64{1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5}
	for _, test := range []struct {
		placement string
		weights   []float64
		prefix    string
		keys      int
		want      []int
	}{
		{"ch3", nil, "", 1000, []int{307, 342, 351}},
		{"ch3", nil, "", 10_000, []int{995, 955, 1046, 968, 1032, 972, 1016, 1038, 1010, 968}},
		{"weighted_ch3", []float64{1, 1, 0.7}, "", 1000, []int{341, 371, 288}},
		{"weighted_ch3", tenths, "", 10_000, []int{1016, 1252, 288, 2354, 661, 195, 247, 122, 1668, 2197}},
		{"mcrouter_rendezvous", nil, "mykey:", 1000, []int{337, 353, 310}},
		{"mcrouter_rendezvous", nil, "mykey:", 10_000, []int{947, 1026, 1028, 981, 1016, 970, 1013, 939, 1023, 1057}},
		{"rendezvous", nil, "mykey:", 10_000, []int{3409, 3360, 3231}},
		{"weighted_rendezvous", []float64{1, 0.5, 0.1}, "mykey:", 10_000, []int{6292, 3118, 590}},
		{"weighted_rendezvous", []float64{1, 0, 0.5}, "mykey:", 10_000, []int{6737, 0, 3263}},
		{"weighted_rendezvous", halves, "mykey:", 10_000, []int{1381, 1299, 1283, 1359, 1296, 667, 669, 665, 672, 709}},
	} {
		r := mustNew(t, Options{Placement: test.placement, Weights: test.weights}, named("xxx.%d.yy", len(test.want)))
		if got := counts(r, test.prefix, test.keys); !slices.Equal(got, test.want) {
			t.Errorf("%s by %v: got %v; want %v", test.placement, test.weights, got, test.want)
		}
	}
}

// TestMcrouterOwners compares with the owners of mcrouter/lib/test: the files above,
// Crc32HashTest.cpp, and mcrouter/routes/test/ConstShardHashFuncTest.cpp.
func TestMcrouterOwners(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i + 128)
	}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	for _, test := range []struct {
		placement string
		members   int
		key       string
		want      int
	}{
		{"ch3", 100, "sample", 97},
		{"ch3", 1, "sample", 0},
		{"ch3", 100, "", 72},
		{"ch3", 99999, string(all), 31015},
		{"ch3", 99999, string(reversed), 67101},
		{"weighted_ch3", 99999, string(all), 31015},
		{"weighted_ch3", 99999, string(reversed), 67101},
		{"crc32", 100, "sample", 7},
		{"crc32", 1, "sample", 0},
		{"crc32", 100, "", 0},
		{"crc32", 99999, string(all), 11697},
		{"crc32", 99999, string(reversed), 97630},
		{"const_shard", 4, "b:3:meh", 3},
		{"const_shard", 4, "bl:2:meh", 2},
		{"const_shard", 4, "bla:1:meh", 1},
		{"const_shard", 4, "blah:0:meh", 0},
		{"const_shard", 4, "blahmeh", 2},
		{"const_shard", 4, "blah:meh", 0},
		{"const_shard", 4, "blah::meh", 1},
		{"const_shard", 4, "blah:12c34:meh", 0},
		{"const_shard", 4, "blah:4:meh", 3},
		{"mcrouter_rendezvous", 3, "sample", 1},
		{"mcrouter_rendezvous", 3, "", 1},
		{"mcrouter_rendezvous", 3, "mykey", 1},
		{"mcrouter_rendezvous", 3, string(all), 1},
		{"mcrouter_rendezvous", 343, string(all), 183},
		{"mcrouter_rendezvous", 343, "sample", 45},
		{"mcrouter_rendezvous", 343, "", 291},
		{"mcrouter_rendezvous", 343, "mykey", 132},
		{"weighted_rendezvous", 3, "sample", 0},
		{"weighted_rendezvous", 3, "", 2},
		{"weighted_rendezvous", 3, "mykey", 1},
		{"weighted_rendezvous", 3, string(all), 1},
		{"weighted_rendezvous", 343, string(all), 142},
		{"weighted_rendezvous", 343, "sample", 115},
		{"weighted_rendezvous", 343, "", 279},
		{"weighted_rendezvous", 343, "mykey", 302},
	} {
		r := mustNew(t, Options{Placement: test.placement}, named("xxx.%d.yy", test.members))
		if got := r.Owner([]byte(test.key)); got != test.want {
			t.Errorf("%s of %q among %d: got %d; want %d", test.placement, test.key, test.members, got, test.want)
		}
	}
}

// TestKetama uses the keys of libmemcached's test/tests/memcached/ketama.cpp.
func TestKetama(t *testing.T) {
	weights := []int{600, 300, 200, 350, 1000, 800, 950, 100}
	members := named("10.0.1.%d:11211", len(weights)+1)[1:]
	for i := range members {
		members[i].Weight = weights[i]
	}
	r := mustNew(t, Options{Placement: "ketama", Function: "md5"}, members)
	for _, line := range lines(t, "ketama.txt") {
		var key, want string
		var hash uint64
		var value uint32
		if _, err := fmt.Sscanf(line, "%q %d %d %s", &key, &hash, &value, &want); err != nil {
			t.Fatal(err)
		}
		if got := md5Sum.of([]byte(key)); got != hash {
			t.Errorf("md5 of %q: got %d; want %d", key, got, hash)
		}
		if got := r.points.points[r.points.find(uint32(hash))].value; got != value {
			t.Errorf("point of %q: got %d; want %d", key, got, value)
		}
		if got := members[r.Owner([]byte(key))].Name; got != want+":11211" {
			t.Errorf("owner of %q: got %s; want %s", key, got, want)
		}
	}
	// The key's hash is after the last point.
	if got, want := r.Owner([]byte("VDEAAAAA")), int(r.points.points[0].member); got != want {
		t.Errorf("past the last point: got %d; want %d", got, want)
	}
}

// TestJump compares with results of the C++ function of the paper's figure 1.
func TestJump(t *testing.T) {
	buckets := [...]int{1, 2, 3, 10, 57, 666, 1024, 1_000_000}
	for _, test := range []struct {
		hash uint64
		want [len(buckets)]int
	}{
		{0, [...]int{0, 0, 0, 0, 0, 0, 0, 0}},
		{1, [...]int{0, 0, 0, 6, 55, 549, 549, 985611}},
		{42, [...]int{0, 1, 2, 2, 43, 571, 571, 153897}},
		{256, [...]int{0, 1, 2, 3, 16, 520, 520, 86422}},
		{3735883980, [...]int{0, 1, 1, 5, 13, 361, 361, 924137}},
		{18446744073709551615, [...]int{0, 1, 2, 9, 10, 313, 313, 589430}},
		{10863919174838991, [...]int{0, 1, 1, 6, 21, 117, 830, 803824}},
	} {
		for i, n := range buckets {
			if got := jump(test.hash, n); got != test.want[i] {
				t.Errorf("%d among %d: got %d; want %d", test.hash, n, got, test.want[i])
			}
		}
	}
	sum := uint32(0)
	for i := range uint64(100_000) {
		sum = sum*31 + uint32(jump(i*0x9E3779B97F4A7C15, 1000))
	}
	if sum != 1832779578 {
		t.Errorf("checksum: got %d; want 1832779578", sum)
	}
}
