package partiql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// A spot is where a piece of a statement begins, counted without the lexer.
type spot struct{ line, column, length int }

// laidOut joins the pieces of a statement with random space and comments, and returns the spot of
// each piece.
func laidOut(r *rand.Rand, pieces []string) (statement string, spots []spot) {
	spaces := []string{" ", "  ", "\n", "\t", "\r\n", " -- é '\n", "/* ü\n */", "/**/ ", "\n\n", "\f"}
	var b strings.Builder
	for _, p := range pieces {
		for range 1 + r.IntN(3) {
			b.WriteString(spaces[r.IntN(len(spaces))])
		}
		lines := strings.Split(b.String(), "\n")
		spots = append(spots, spot{len(lines), len([]rune(lines[len(lines)-1])) + 1, len([]rune(p))})
		b.WriteString(p)
	}
	return b.String(), spots
}

// Tokens, wherever they stand, are those that were written, with their lines, columns and lengths
// in characters.
func TestTokensAgainstSpots(t *testing.T) {
	pieces := []struct {
		text, value string
		kind        tokenKind
	}{
		{"select", "select", word}, {"Where", "Where", word}, {"$a_1", "$a_1", word}, {`"a b"`, "a b", name},
		{`"q""é"`, `q"é`, name}, {"\"two\nlines\"", "two\nlines", name}, {`'it''s'`, "it's", text}, {`''`, "", text},
		{"'é\n'", "é\n", text}, {"12", "12", number}, {"1.5e-3", "1.5e-3", number}, {"?", "?", mark},
		{"<<", "<<", sign}, {">=", ">=", sign}, {"!=", "!=", sign}, {"||", "||", sign}, {"(", "(", sign}, {"]", "]", sign},
		{":", ":", sign}, {";", ";", sign}, {"'--'", "--", text}, {`"/*"`, "/*", name},
	}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var texts []string
		var chosen []int
		for range r.IntN(15) {
			n := r.IntN(len(pieces))
			chosen, texts = append(chosen, n), append(texts, pieces[n].text)
		}
		statement, spots := laidOut(r, texts)
		tokens, err := lex(statement)
		if err != nil || len(tokens) != len(chosen)+1 || tokens[len(chosen)].kind != end {
			t.Fatalf("seed %d, %q: got %d tokens, %v; want %d and the end", seed, statement, len(tokens), err, len(chosen))
		}
		for i, n := range chosen {
			got, want := tokens[i], pieces[n]
			if got.kind != want.kind || got.text != want.value || (spot{got.line, got.column, got.length}) != spots[i] {
				t.Fatalf("seed %d, %q: got token %+v; want %q at %+v", seed, statement, got, want.value, spots[i])
			}
		}
	}
}

// An error that names a place names the piece at fault, wherever it stands. In each statement, the
// piece before a ^ is at fault.
func TestErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`SELECT * FROM t WHERE a = 'é' AND nope ^ ( a )`, "Unrecognized function: nope at "},
		{`SELECT * FROM t WHERE NOT ( b = 1 OR Nope ^ ( a , 1 ) )`, "Unrecognized function: nope at "},
		{`UPDATE t SET a = nope ^ ( a , 1 ) WHERE pk = 'é'`, "Unrecognized function: nope at "},
		{`UPDATE t SET b = 1 SET a = set_add ^ ( b , << 'x' >> ) WHERE pk = 1`,
			"The first argument to SET_ADD must equal the assignment value at "},
		{`UPDATE t REMOVE b SET a = set_delete ^ ( a ) WHERE pk = 1`, "SET_DELETE must have exactly two arguments at "},
		{`SELECT a , "b" , size ^ ( c ) FROM t`, "Unexpected path component at "},
		{`SELECT * FROM t WHERE pk = 1 LIMIT ^ 5`, "Unsupported clause: LIMIT at "},
		{`DELETE FROM t WHERE pk = 'a' union ^ x`, "Unsupported clause: UNION at "},
		{`INSERT INTO t VALUE { 'pk' : 1 , 'é' : date ^ ( 'x' ) }`, "Unsupported data type: date under key root at "},
	} {
		for seed := range uint64(200) {
			r := rand.New(rand.NewPCG(seed, 1))
			pieces := strings.Fields(c.statement)
			at := 0
			for pieces[at] != "^" {
				at++
			}
			statement, spots := laidOut(r, append(pieces[:at:at], pieces[at+1:]...))
			s := spots[at-1]
			want := fmt.Sprintf("%s%d:%d:%d", c.want, s.line, s.column, s.length)
			if _, err := Parse(statement, nil); err == nil || err.Error() != want {
				t.Fatalf("%q:\n got %v\nwant %s", statement, err, want)
			}
		}
	}
}
