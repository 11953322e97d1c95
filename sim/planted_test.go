package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A planted bug is a change of one file. Some seed finds it.
type planted struct {
	fault string
	file  string // from the module's root
	was   string // once in the file
	is    string
	test  string // whose seeds find it
}

var plantedBugs = []planted{
	{"a transaction is decided twice: what interrupted it aborts it, although it was committed", "shard/recovery.go",
		"	if err := s.space.admitBatch(ctx, 2*decisionBytes, true); err != nil {\n",
		"	ok = false\n	if err := s.space.admitBatch(ctx, 2*decisionBytes, true); err != nil {\n",
		"TestTableSeeds"},
	{"a transaction without a decision is taken for committed", "shard/recovery.go",
		"committed: ok && d.id == p.id && d.committed", "committed: !ok || d.id == p.id && d.committed",
		"TestTableSeeds"},
	{"reads ignore prepared images' locks", "shard/recovery.go",
		"	if locked && l != nil {\n", "	if locked && l != nil && len(key) == 0 {\n", "TestTableSeeds"},
	{"tokens are forgotten", "shard/ledger.go",
		`	return d.committed && d.digest != "" && now.Sub(d.used) < TokenAge`, "	return false", "TestTableSeeds"},
	{"a failure behind the decision says that nothing was changed", "shard/transaction.go",
		"	if err := t.resolve(ctx); err != nil {\n		return errDecided(err)\n",
		"	if err := t.resolve(ctx); err != nil {\n" +
			"		return holdfast.Errorf(holdfast.Refused, \"nothing was changed\")\n",
		"TestTableSeeds"},
	{"no write of a group's log is synced", "group/loops.go",
		"	return all, b.Commit(sync)\n", "	return all, b.Commit(false)\n", "TestSeeds$"},
	{"a context of ReadIndex is used twice", "group/reads.go",
		"	r.last++\n", "", "TestSeeds$"},
}

// Each planted bug is found by one of the first 60 seeds. Each takes a minute or so, so seeds run
// only with HOLDFAST_SIM_PLANTED, whose value is a part of what they are called; "all" is all. That
// each can be planted is always checked.
func TestPlantedBugs(t *testing.T) {
	which := os.Getenv("HOLDFAST_SIM_PLANTED")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plantedBugs {
		t.Run(p.fault, func(t *testing.T) {
			changed := p.plant(t, root)
			if which == "" {
				t.Skip("HOLDFAST_SIM_PLANTED isn't set")
			}
			if which == "all" || strings.Contains(p.fault, which) {
				p.find(t, filepath.Join(root, p.file), changed)
			}
		})
	}
}

// plant returns the file with the bug.
func (p *planted) plant(t *testing.T, root string) string {
	source, err := os.ReadFile(filepath.Join(root, p.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), p.was); n != 1 {
		t.Fatalf("%s has it %d times; want once: %s", p.file, n, p.was)
	}
	return strings.Replace(string(source), p.was, p.is, 1)
}

// find builds the package with a file that has the bug, and runs seeds until one fails.
func (p *planted) find(t *testing.T, file, text string) {
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{changed: text, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "sim.test")
	build := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(binary, "-test.run", p.test, "-test.timeout", "4m")
	run.Env = append(os.Environ(), "HOLDFAST_SIM_SEEDS=1-60")
	out, err := run.CombinedOutput()
	seeds := regexp.MustCompile(`(?m)seed (\d+)$`).FindAllStringSubmatch(string(out), -1)
	if err == nil || len(seeds) == 0 {
		t.Fatalf("got %v; want a seed that finds it", err)
	}
	if why := regexp.MustCompile(`seed (\d+): (.*)\n`).FindStringSubmatch(string(out)); why != nil {
		t.Logf("seed %s: %.200s", why[1], why[2])
	} else {
		t.Logf("seed %s ends the process, or hangs", seeds[len(seeds)-1][1])
	}
}
