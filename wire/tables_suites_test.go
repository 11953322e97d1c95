package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// otherSuiteTime limits one run of another project's suite.
const otherSuiteTime = 10 * time.Minute

// suiteShards are the numbers of shards per table with which the suites run.
var suiteShards = []int{1, 3, 64}

// TestParitySuite runs dynamodb-conformance, whose checkout HOLDFAST_PARITY_SUITE names. Each of
// its tests must pass.
func TestParitySuite(t *testing.T) {
	dir := otherSuite(t, "HOLDFAST_PARITY_SUITE")
	eachSharding(t, func(t *testing.T, server *process, shards int) {
		report := filepath.Join(t.TempDir(), "report.json")
		runSuite(t, dir, []string{"DYNAMODB_ENDPOINT=http://" + server.addr},
			"node_modules/vitest/vitest.mjs", "run", "--reporter=json", "--outputFile="+report)
		var tests struct {
			NumPassedTests int
			TestResults    []struct {
				AssertionResults []struct {
					Status, FullName string
					FailureMessages  []string
				}
			}
		}
		readReport(t, report, &tests)
		for _, file := range tests.TestResults {
			for _, test := range file.AssertionResults {
				if test.Status != "passed" {
					t.Errorf("%s: %s: %s", test.FullName, test.Status, tail(strings.Join(test.FailureMessages, "\n")))
				}
			}
		}
		if want := 601; tests.NumPassedTests < want {
			t.Errorf("%d passed; want %d", tests.NumPassedTests, want)
		}
		t.Logf("%d passed", tests.NumPassedTests)
	})
}

// dynaliteFailures are the tests of dynalite 4.0.0 that fail; docs/dynamodb.md says why.
var dynaliteFailures = []string{
	"batchGetItem validations should return ResourceNotFoundException if table is being created",
	"batchGetItem validations should return ValidationException for empty RequestItems",
	"batchGetItem validations should return ValidationException when fetching more than 100 keys",
	"batchWriteItem validations should return ResourceNotFoundException if table is being created",
	"batchWriteItem validations should return ValidationException for empty RequestItems",
	"createTable validations should return ValidationException for empty TableName",
	"createTable validations should return ValidationException for second key of GlobalSecondaryIndex not being range",
	"createTable validations should return ValidationException for short TableName",
	"getItem validations should return ResourceNotFoundException if table is being created",
	"putItem validations should return ResourceNotFoundException if table is being created",
	"updateItem validations should return ResourceNotFoundException if table is being created",
}

// dynaliteOneShard is a test that expects a BatchGetItem of a little over 1 MB to be cut. Holdfast,
// like the service, returns 1 MB of each shard. The test leaves its items if it fails, and then
// scans of other tests end early.
const dynaliteOneShard = "should return many unprocessed items if very over the limit"

// TestDynaliteSuite runs dynalite 4.0.0's own tests, whose checkout HOLDFAST_DYNALITE_SUITE names,
// against Holdfast and not against dynalite.
func TestDynaliteSuite(t *testing.T) {
	dir := dynaliteTests(t, otherSuite(t, "HOLDFAST_DYNALITE_SUITE"))
	eachSharding(t, func(t *testing.T, server *process, shards int) {
		report := filepath.Join(t.TempDir(), "report.json")
		args := []string{"node_modules/mocha/bin/mocha.js", "--require", "should", "-t", "20s", "--exit",
			"--reporter", "json", "--reporter-option", "output=" + report}
		want := 1043
		if shards > 1 {
			args = append(args, "--grep", dynaliteOneShard, "--invert")
			want-- // the test that was left out
		}
		_, port, _ := strings.Cut(server.addr, ":")
		runSuite(t, dir, []string{"PORT=" + port}, args...)
		var tests struct {
			Passes   []struct{}
			Failures []struct {
				FullTitle string
				Err       struct{ Message string }
			}
		}
		readReport(t, report, &tests)
		failed := map[string]bool{}
		for _, f := range tests.Failures {
			failed[f.FullTitle] = true
			if !slices.Contains(dynaliteFailures, f.FullTitle) {
				t.Errorf("%s: %.500s", f.FullTitle, f.Err.Message)
			}
		}
		if len(tests.Passes) < want {
			t.Errorf("%d passed; want %d; failed: %q", len(tests.Passes), want, slices.Sorted(maps.Keys(failed)))
		}
		t.Logf("%d passed, %d failed", len(tests.Passes), len(failed))
	})
}

// otherSuite is the checkout of another project's suite, with its dependencies installed.
func otherSuite(t *testing.T, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skip(variable + " names no checkout")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("run npm install in %s: %v", dir, err)
	}
	return dir
}

// eachSharding runs a test against a new server for each number of shards.
func eachSharding(t *testing.T, test func(t *testing.T, server *process, shards int)) {
	t.Helper()
	for _, shards := range suiteShards {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "holdfast.yaml")
			text := fmt.Appendf(nil, "tables: {any_origin: true, new_shards: %d}\n", shards)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			test(t, startTables(t, filepath.Join(t.TempDir(), "data"), "--config", file), shards)
		})
	}
}

// runSuite runs node in a suite's directory. A suite with tests that fail doesn't end with 0, which
// its report says in more detail.
func runSuite(t *testing.T, dir string, environment []string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), otherSuiteTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, find(t, "node"), args...)
	cmd.Dir = dir
	cmd.Env = append(append(awsEnvironment(t, "key", "secret"), "AWS_REGION=us-east-1"), environment...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); ctx.Err() != nil {
		t.Fatalf("not within %v: %v\n%s", otherSuiteTime, err, tail(out.String()))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(tail(out.String()))
		}
	})
}

func readReport(t *testing.T, file string, report any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, report)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dynaliteTests is a copy of dynalite's tests that starts no server and connects to $PORT.
func dynaliteTests(t *testing.T, checkout string) string {
	t.Helper()
	dir := t.TempDir()
	s := &suite{dir: dir}
	entries, err := os.ReadDir(checkout)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from, to := filepath.Join(checkout, e.Name()), filepath.Join(dir, e.Name())
		if e.Name() == "test" {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			err = os.Symlink(from, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.amend(t, "test/helpers.js", []amendment{
		{old: "var port = 10000 + Math.round(Math.random() * 10000)", new: "var port = +process.env.PORT"},
		{old: "globalServer = dynalite({ path: process.env.DYNALITE_PATH })", new: ""},
		{old: "globalServer.listen(port, ", new: "process.nextTick("},
	})
	return dir
}
