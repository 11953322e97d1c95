package partiql

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/item"
)

var stringKey = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S},
	Range: item.KeyAttr{Name: "sk", Type: item.S}}

// plan returns a Read as text.
func plan(r Read) (string, error) {
	var parts []string
	for _, q := range r.Queries {
		l, err := q.Resolve(stringKey.Index())
		if err != nil {
			return "", err
		}
		part := l.Hash[0].Text
		for _, within := range l.Sort {
			part += fmt.Sprintf(" %d %s", within.Op, within.Low.Text)
			if within.Op == item.Between {
				part += " " + within.High.Text
			}
		}
		parts = append(parts, part)
	}
	text := strings.Join(parts, ", ")
	if r.Reverse {
		text += " reverse"
	}
	return text, nil
}

func TestRead(t *testing.T) {
	op := func(o item.RangeOp, rest string) string { return fmt.Sprintf("a %d %s", o, rest) }
	for where, want := range map[string]string{
		``:                             "",
		`WHERE x = 1`:                  "",
		`WHERE pk = 'a'`:               "a",
		`WHERE x = 1 AND 'a' = pk`:     "a",
		`WHERE (pk = 'a') AND x = 1`:   "a",
		`WHERE pk = 'a' OR sk = 'b'`:   "",
		`WHERE NOT pk = 'a'`:           "",
		`WHERE pk = 'a' AND sk = 'b'`:  op(item.EQ, "b"),
		`WHERE pk = 'a' AND sk <> 'b'`: "a",
		`WHERE (pk = 'a' AND sk >= 'b') AND sk < 'c'`:                          op(item.GE, "b"),
		`WHERE sk BETWEEN 'b' AND 'c' AND pk = 'a'`:                            op(item.Between, "b c"),
		`WHERE begins_with(sk, 'b') AND pk = 'a'`:                              op(item.BeginsWith, "b"),
		`WHERE pk = 'a' AND (sk = 'b' OR sk = 'c')`:                            "a",
		`WHERE pk = 'a' AND NOT sk = 'b' OR pk = 'b' AND sk = 'c' OR pk = 'a'`: "a, b",
		`WHERE pk = 'a' AND sk = 'b' OR x = 1`:                                 "",
		`WHERE pk IN ['b', 'a', 'b']`:                                          "b, a",
		`WHERE pk IN ['b', 'a'] ORDER BY pk`:                                   "a, b",
		`WHERE (pk = 'b' OR pk = 'a') AND x = 1 ORDER BY pk DESC, sk DESC`:     "b, a reverse",
		`WHERE pk = 'a' ORDER BY sk DESC`:                                      "a reverse",
		`WHERE pk = 'a' ORDER BY sk`:                                           "a",
		`WHERE pk = 5`: "One or more parameter values were " +
			"invalid: Condition parameter type does not match schema type",
		`ORDER BY sk`: "Must have WHERE clause in the statement " +
			"when using ORDER BY clause.",
		`WHERE pk = 'a' ORDER BY x`: "Attribute x in ORDER BY clause must be " +
			"part of the primary key",
		`WHERE pk > 'a' ORDER BY sk`: "Must have at least one non-optional hash " +
			"key condition in WHERE clause when using ORDER BY clause.",
		`WHERE pk IN ['a', 'b'] ORDER BY sk`: "Must have hash key in ORDER BY clause " +
			"when more than one hash key condition specified in WHERE clause.",
	} {
		s := parsed(t, "SELECT * FROM t "+where)
		read, err := s.Read(stringKey)
		var got string
		if err == nil {
			got, err = plan(read)
		}
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s; want %s", where, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	for where, want := range map[string]string{
		`pk = 'a' AND sk = 'b'`:                         "true false",
		`pk = 'a' AND sk = 'b' AND x = 1`:               "true true",
		`pk = 'a' AND sk = 'b' AND attribute_exists(x)`: "true true",
		`pk = 'a'`:                         "false false",
		`pk = 'a' AND begins_with(sk, '')`: "false false",
		`pk = 'a' OR sk = 'b'`:             "false false",
	} {
		s := parsed(t, "EXISTS(SELECT * FROM t WHERE "+where+")")
		key, more, ok := s.Key(stringKey)
		if got := fmt.Sprint(ok, more); got != want || ok && len(key) != 2 || s.Kind != Exists {
			t.Errorf("%s: got %s, %v; want %s", where, got, key, want)
		}
		if _, err := s.Written(stringKey); (err == nil) != ok {
			t.Errorf("%s: got %v; want an error: %v", where, err, !ok)
		}
	}
}

func TestConditions(t *testing.T) {
	s := parsed(t, `DELETE FROM t WHERE pk = 'a' AND sk = 'b' AND x = 'c'`)
	present, err := s.IfPresent(stringKey)
	if err != nil {
		t.Fatal(err)
	}
	absent, err := IfAbsent(stringKey)
	if err != nil {
		t.Fatal(err)
	}
	there := item.New(item.Attr{Name: "pk", Value: item.Text("a")}, item.Attr{Name: "sk", Value: item.Text("b")})
	for _, test := range []struct {
		name          string
		it            item.Item
		deletes, adds bool
	}{
		{"nothing", nil, true, true},
		{"another", there, false, false},
		{"what is said", there.With("x", item.Text("c")), true, false},
	} {
		if got, adds := present.Match(test.it), absent.Match(test.it); got != test.deletes || adds != test.adds {
			t.Errorf("%s: got deleted %v, inserted %v; want %v, %v", test.name, got, adds, test.deletes, test.adds)
		}
	}
}
