package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// An ack is a transaction that a directory has acknowledged. No two of them are the same.
type ack struct{ tx holdfast.TxID }

// A branch is a directory with what it, or the one of which it is a copy, has acknowledged.
type branch struct {
	fs   *vfs.MemFS
	done []*ack
}

// run starts the store, commits n times, and checks a number of transactions; then the process is
// killed, or stops.
func (b *branch) run(t *testing.T, rng *rand.Rand, n int, what string, check []*ack) {
	t.Helper()
	s := openStore(t, memOptions(b.fs))
	sh := openShard(t, s, 1)
	for range n {
		r := commitAll(t, s, put(t, sh, thing("a", 1, "v", fmt.Sprint(rng.Int())))) // no two are the same
		b.done = append(b.done, &ack{r[0].Tx})
		if newest := sh.At(sh.End().Index - 1); newest != r[0].Tx {
			t.Errorf("%s: the newest is %v; want %v", what, newest, r[0].Tx)
		}
	}
	for _, a := range check {
		err := sh.Reached(a.tx)
		has := slices.Contains(b.done, a)
		if has != (err == nil) || err != nil && !errors.Is(err, holdfast.Lost) {
			t.Errorf("%s, %v: got %v; want it there: %t", what, a.tx, err, has)
		}
	}
	if rng.IntN(2) == 0 {
		b.fs = b.fs.CrashClone(vfs.CrashCloneCfg{})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A transaction is found in the directory that has acknowledged it, over any starts, and in copies
// that were made since. In a copy that was made before it is lost, also when the copy has a
// transaction of that index, after as many starts.
func TestTransactionsOfCopiesDiffer(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		branches := []*branch{{fs: vfs.NewCrashableMem()}}
		var all []*ack
		for step := range 12 {
			of := branches[rng.IntN(len(branches))]
			if rng.IntN(3) == 0 && of.done != nil {
				of = &branch{fs: of.fs.CrashClone(vfs.CrashCloneCfg{}), done: slices.Clone(of.done)}
				branches = append(branches, of)
			}
			before := len(of.done)
			of.run(t, rng, rng.IntN(6), fmt.Sprintf("seed %d, step %d", seed, step), all)
			all = append(all, of.done[before:]...)
		}
		if t.Failed() {
			return
		}
	}
}

// A shard keeps the newest terms: a transaction of an older one is refused rather than taken for
// another.
func TestTermsAreBounded(t *testing.T) {
	var all terms
	all.init()
	for n := range uint64(3 * maxTerms) {
		next := all.with(holdfast.TxID{Term: 10 + n, Index: 2 + 2*n}, 2*n)
		raw := string(appendTerms(nil, next))
		is, err := decodeTerms(raw)
		if err != nil || string(appendTerms(nil, is)) != raw || len(is) > maxTerms {
			t.Fatalf("got %v, %v; want at most %d, and these again", is, err, maxTerms)
		}
		for cut := range raw {
			if _, err := decodeTerms(raw[:cut]); !errors.Is(err, holdfast.Corrupt) {
				t.Errorf("%d of %d bytes: got %v; want them refused", cut, len(raw), err)
			}
		}
		all.all.Store(&is)
		for back := range n + 1 {
			want := 10 + n - back
			if back >= maxTerms {
				want = 0
			}
			for _, index := range []uint64{1 + 2*(n-back), 2 + 2*(n-back)} {
				if got := all.of(index); got != want {
					t.Errorf("transaction %d of %d: got term %d; want %d", index, 1+2*n, got, want)
				}
			}
		}
	}
}

// A replica tells what it will have from what is lost: of the term that is the newest here more may
// come, and of later terms, but nothing of another leader whom Raft has elected in the same term,
// which is one of another log. Once all is here that was committed, nothing more comes of what was
// seen, but for what this replica proposes in the term in which it leads: that may be acknowledged
// before it is committed.
func TestReachedInAGroup(t *testing.T) {
	c := newThreeStores(t, 1)
	g := c.group(1)
	sh := g.sh[0]
	next := func(term uint64) holdfast.TxID {
		g.mu.Lock()
		g.term = term
		g.mu.Unlock()
		return commitAll(t, c.stores[0], put(t, sh, thing("a", 1, "v", len(g.log))))[0].Tx
	}
	first := next(holdfast.GroupTerm(3, 7))
	newest := next(holdfast.GroupTerm(5, 9))
	for _, test := range []struct {
		term, index uint64
		want        error
	}{
		{first.Term, first.Index, nil},
		{newest.Term, newest.Index, nil},
		{holdfast.GroupTerm(3, 8), first.Index, holdfast.Lost},
		{first.Term, first.Index + 1, holdfast.Lost}, // it has no transaction here, and had one where it was seen
		{first.Term, newest.Index, holdfast.Lost},
		{newest.Term, newest.Index + 1, holdfast.Behind},
		{holdfast.GroupTerm(5, 8), newest.Index + 1, holdfast.Lost},
		{holdfast.GroupTerm(5, 10), newest.Index + 1, holdfast.Lost},
		{holdfast.GroupTerm(4, 10), newest.Index + 1, holdfast.Lost},
		{holdfast.GroupTerm(6, 0), newest.Index + 1, holdfast.Behind},
		{5, newest.Index + 1, holdfast.Lost}, // without salt, of a former version
	} {
		tx := holdfast.TxID{Shard: 1, Term: test.term, Index: test.index}
		if err := sh.Reached(tx); !errors.Is(err, test.want) {
			t.Errorf("%v: got %v; want %v", tx, err, test.want)
		}
		if test.want == holdfast.Behind && test.term != newest.Term {
			test.want = holdfast.Lost
		}
		if err := Verify(bg, sh, tx); !errors.Is(err, test.want) {
			t.Errorf("Verify %v: got %v; want %v", tx, err, test.want)
		}
	}
}
