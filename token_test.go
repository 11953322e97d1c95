package holdfast_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast"
)

func randomTx(rng *rand.Rand, shards uint64) holdfast.TxID {
	return holdfast.TxID{
		Shard: holdfast.ShardID(1 + rng.Uint64N(shards)), Term: rng.Uint64N(1 << 24),
		Index: rng.Uint64() >> rng.IntN(64),
	}
}

// A token has the newest transaction of each shard that was seen, of those that were seen last if
// there are many; its text has them, too.
func TestTokensAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var tok holdfast.Token
		newest, order := map[holdfast.ShardID]holdfast.TxID{}, []holdfast.ShardID{}
		shards := uint64(1) << rng.IntN(11)
		for range 500 {
			tx := randomTx(rng, shards)
			if tx.Index == 0 {
				tx.Index = 1
			}
			is, was := tok, tok.String()
			tok.See(tx)
			if is.String() != was {
				t.Fatalf("seed %d: a copy of the token became %v; want %s", seed, is, was)
			}
			if tx.Compare(newest[tx.Shard]) > 0 {
				newest[tx.Shard] = tx
			}
			order = slices.DeleteFunc(order, func(id holdfast.ShardID) bool { return id == tx.Shard })
			order = append(order, tx.Shard)
			if len(order) > 253 { // transactions of three bytes that fit in a text
				delete(newest, order[0])
				order = order[1:]
			}
		}
		text := tok.String()
		is, err := holdfast.ParseToken(text)
		if err != nil || len(text) > holdfast.MaxTokenBytes || is.String() != text {
			t.Fatalf("seed %d: got %v, %v, of %d bytes; want the token, of %d at most", seed, is, err, len(text),
				holdfast.MaxTokenBytes)
		}
		kept := 0
		for n, id := range slices.Backward(order) {
			if tx, ok := tok.Of(id); !ok || tx != newest[id] {
				t.Errorf("seed %d, shard %d: got %v, %t; want %v", seed, id, tx, ok, newest[id])
			}
			tx, ok := is.Of(id)
			if ok && (tx != newest[id] || kept != len(order)-1-n) || !ok && kept < 28 && kept < len(order)-1-n {
				t.Errorf("seed %d, shard %d of the text: got %v, %t; want %v, before all older ones",
					seed, id, tx, ok, newest[id])
			}
			if ok {
				kept++
			}
		}
		if kept < min(len(order), 28) { // of the longest numbers
			t.Errorf("seed %d: the text has %d shards of %d", seed, kept, len(order))
		}
	}
}

func TestEmptyToken(t *testing.T) {
	var tok holdfast.Token
	tok.See(holdfast.TxID{Shard: 3, Term: 1}) // a shard without transactions
	if text := tok.String(); text != "1" {
		t.Errorf("got %q; want 1", text)
	}
	if is, err := holdfast.ParseToken("1"); err != nil || is.String() != "1" {
		t.Errorf("got %v, %v; want the empty token", is, err)
	}
}

// What is no token, or was changed on its way, is refused: a change of any character, a missing or
// added one.
func TestGarbledTokens(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var tok holdfast.Token
	for range 5 {
		tok.See(randomTx(rng, 1000))
	}
	text := tok.String()
	garbled := []string{"", "0", "2" + text[1:], "x", "1=", "1AAAA", text + "A", text + "=", " " + text, text + "\n"}
	for i := range text {
		garbled = append(garbled, text[:i]+"_"+text[i+1:], text[:i]+text[i+1:])
		if i > 1 {
			garbled = append(garbled, text[:i])
		}
	}
	long := make([]byte, holdfast.MaxTokenBytes)
	garbled = append(garbled, "1"+string(long))
	for _, g := range garbled {
		if g == text {
			continue
		}
		if is, err := holdfast.ParseToken(g); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%q: got %v, %v; want it refused", g, is, err)
		}
	}
}

// What parses prints back the same.
func FuzzToken(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 1))
	var tok holdfast.Token
	f.Add("1")
	for range 100 {
		tok.See(randomTx(rng, 300))
		f.Add(tok.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		is, err := holdfast.ParseToken(text)
		if err == nil && is.String() != text {
			t.Errorf("got %q; want %q", is.String(), text)
		}
		if err != nil && !errors.Is(err, holdfast.Invalid) {
			t.Errorf("got %v; want it to be Invalid", err)
		}
	})
}

// A token that is joined has seen what both have seen, and what was copied from it before has not.
func TestJoin(t *testing.T) {
	var a, b holdfast.Token
	a.See(holdfast.TxID{Shard: 1, Term: 1, Index: 5})
	a.See(holdfast.TxID{Shard: 2, Term: 2, Index: 1})
	b.See(holdfast.TxID{Shard: 1, Term: 1, Index: 6})
	b.See(holdfast.TxID{Shard: 2, Term: 1, Index: 9})
	b.See(holdfast.TxID{Shard: 3, Term: 1, Index: 1})
	before := a
	a.Join(b)
	want := map[holdfast.ShardID]holdfast.TxID{1: {1, 1, 6}, 2: {2, 2, 1}, 3: {3, 1, 1}}
	for tx := range a.All() {
		if want[tx.Shard] != tx {
			t.Errorf("got %v; want %v", tx, want[tx.Shard])
		}
	}
	if a.Len() != len(want) || before.Len() != 2 {
		t.Errorf("got %d shards, and %d in the copy; want three and two", a.Len(), before.Len())
	}
	rest := a
	rest.Forget(2)
	rest.Forget(9)
	if _, ok := rest.Of(2); ok || rest.Len() != 2 || a.Len() != 3 {
		t.Errorf("got %d shards, and %d in the token that it is a copy of; want two and three", rest.Len(), a.Len())
	}
}
