package mc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// randomAnswer returns a random valid answer.
func randomAnswer(r *rand.Rand) Answer {
	word := func(longest int) []byte {
		b := make([]byte, 1+r.IntN(longest))
		for i := range b {
			b[i] = byte('!' + r.IntN('~'-'!'))
		}
		return b
	}
	words := func() []byte {
		var all [][]byte
		for range 1 + r.IntN(4) {
			all = append(all, word(12))
		}
		return bytes.Join(all, []byte{' '})
	}
	number := func() uint64 { return r.Uint64() >> r.IntN(64) }
	a := Answer{Kind: AnswerKind(1 + r.IntN(len(answerWords)-1))}
	switch a.Kind {
	case AnswerValue:
		a.Key, a.ClientFlags, a.ValueBytes = word(MaxKeyBytes), number(), r.IntN(maxBlockBytes)
		if a.HasCAS = r.IntN(2) == 0; a.HasCAS {
			a.CAS = number()
		}
	case AnswerNumber:
		a.Number = number()
	case AnswerME, AnswerStat:
		a.Key = word(MaxKeyBytes)
	case AnswerVA:
		a.ValueBytes = r.IntN(maxBlockBytes)
	}
	switch {
	case a.Kind == AnswerVersion, r.IntN(2) == 0 && (a.Kind == AnswerStat || a.Kind.IsError()),
		r.IntN(2) == 0 && a.Kind >= AnswerHD && a.Kind <= AnswerME && a.Kind != AnswerMN:
		a.Args = words()
	}
	return a
}

// TestAnswersParseBack checks that an answer prints and parses as the same, that a truncated line
// is never parsed as another kind, and that a line with an extra byte is invalid, except after a
// text or a name.
func TestAnswersParseBack(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	kinds := map[AnswerKind]int{}
	for range 20_000 {
		want := randomAnswer(r)
		kinds[want.Kind]++
		line := want.AppendLine(nil)
		var got Answer
		if ok := got.ParseLine(line); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %q: got %+v, %v; want %+v", seed, line, got, ok, want)
		}
		cut := line[:r.IntN(len(line))]
		if got.ParseLine(cut) && got.Kind != want.Kind && string(cut) != EN && string(cut) != EX { // how END and EXISTS begin
			t.Fatalf("seed %d: %q, cut from %q: got %+v; want no answer of another kind", seed, cut, line, got)
		}
		long := append(bytes.Clone(line), 0)
		got.ParseLine(long)
		text := got.Args != nil || got.Kind == AnswerME || got.Kind == AnswerStat // where a NUL is allowed
		if got.Kind != NoAnswer && !text {
			t.Fatalf("seed %d: %q: got %+v; want no answer", seed, long, got)
		}
	}
	if len(kinds) != len(answerWords)-1 {
		t.Errorf("got %d kinds; want all %d", len(kinds), len(answerWords)-1)
	}
}

// TestWholeAnswersParseBack checks that an answer with its block parses as the same, and that one
// with missing or extra bytes is invalid.
func TestWholeAnswersParseBack(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		want := randomAnswer(r)
		want.ValueBytes %= 40
		wire := append(want.AppendLine(nil), CRLF...)
		var value []byte
		if want.Kind == AnswerValue || want.Kind == AnswerVA {
			value = make([]byte, want.ValueBytes)
			for i := range value {
				value[i] = "a\r\n "[r.IntN(4)]
			}
			wire = append(append(wire, value...), CRLF...)
		}
		var got Answer
		block, ok := got.Parse(wire)
		if !ok || !reflect.DeepEqual(got, want) || !bytes.Equal(block, value) {
			t.Fatalf("seed %d: %q: got %+v, %q, %v; want %+v, %q", seed, wire, got, block, ok, want, value)
		}
		short, long := wire[:r.IntN(len(wire))], append(bytes.Clone(wire), '\n')
		for _, bad := range [][]byte{short, long, append(bytes.Clone(wire), wire...)} {
			if block, ok := got.Parse(bad); ok || block != nil || !reflect.DeepEqual(got, Answer{}) {
				t.Fatalf("seed %d: %q: got %+v, %q; want no answer", seed, bad, got, block)
			}
		}
	}
}

func TestAnswerFlags(t *testing.T) {
	for _, c := range []struct {
		line     string
		flag     byte
		argument string
		has      bool
		number   uint64
		isNumber bool
	}{
		{"HD", 'f', "", false, 0, false},
		{"HD f7", 'f', "7", true, 7, true},
		{"VA 3 s3  f18446744073709551615 t-1", 'f', "18446744073709551615", true, 1<<64 - 1, true},
		{"VA 3 s3 f18446744073709551616", 'f', "18446744073709551616", true, 0, false},
		{"VA 3 s3 t-1", 't', "-1", true, 0, false},
		{"HD kf9 W", 'f', "", false, 0, false},
		{"HD kf9 W", 'W', "", true, 0, false},
		{"HD f5x", 'f', "5x", true, 0, false},
		{"EN Of1 f2", 'f', "2", true, 2, true},
	} {
		var a Answer
		if !a.ParseLine([]byte(c.line)) {
			t.Fatalf("%q is no answer", c.line)
		}
		if argument, has := a.Flag(c.flag); string(argument) != c.argument || has != c.has {
			t.Errorf("%q: flag %c: got %q, %v; want %q, %v", c.line, c.flag, argument, has, c.argument, c.has)
		}
		if n, ok := a.FlagUint(c.flag); n != c.number || ok != c.isNumber {
			t.Errorf("%q: number of %c: got %d, %v; want %d, %v", c.line, c.flag, n, ok, c.number, c.isNumber)
		}
	}
}

// TestAnswersOfOurs parses the answers that this package appends.
func TestAnswersOfOurs(t *testing.T) {
	for _, c := range []struct {
		printed []byte
		want    Answer
	}{
		{AppendValue(nil, []byte("k"), 7, 3), Answer{Kind: AnswerValue, Key: []byte("k"), ClientFlags: 7, ValueBytes: 3}},
		{AppendValueCAS(nil, []byte("k"), 7, 3, 9), Answer{
			Kind: AnswerValue, Key: []byte("k"), ClientFlags: 7, ValueBytes: 3, HasCAS: true, CAS: 9,
		}},
		{AppendMetaUint(AppendMetaValue(nil, 12), 's', 12), Answer{Kind: AnswerVA, ValueBytes: 12, Args: []byte("s12")}},
		{AppendMetaKey([]byte(EN), []byte("key"), true), Answer{Kind: AnswerEN, Args: []byte("ka2V5 b")}},
		{AppendClientError(nil, "no"), Answer{Kind: AnswerClientError, Args: []byte("no")}},
		{AppendServerError(nil, ""), Answer{Kind: AnswerServerError, Args: []byte{}}},
		{[]byte(Stored), Answer{Kind: AnswerStored}},
		{[]byte(NotStored), Answer{Kind: AnswerNotStored}},
		{[]byte(Exists), Answer{Kind: AnswerExists}},
		{[]byte(NotFound), Answer{Kind: AnswerNotFound}},
		{[]byte(Deleted), Answer{Kind: AnswerDeleted}},
		{[]byte(Touched), Answer{Kind: AnswerTouched}},
		{[]byte(OK), Answer{Kind: AnswerOK}},
		{[]byte(End), Answer{Kind: AnswerEnd}},
		{[]byte(BadCommand), Answer{Kind: AnswerError}},
		{[]byte(NotANumber), Answer{
			Kind: AnswerClientError, Args: []byte("cannot increment or decrement non-numeric value"),
		}},
	} {
		line := bytes.TrimSuffix(c.printed, []byte(CRLF))
		var got Answer
		if ok := got.ParseLine(line); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v; want %+v", line, got, ok, c.want)
		}
	}
}

func TestAnswerLines(t *testing.T) {
	longest := strings.Repeat("k", MaxKeyBytes)
	for _, c := range []struct{ line, want string }{
		{"VALUE k 0 0", "VALUE key=k size=0"},
		{"VALUE k 18446744073709551615 2147483645 18446744073709551615",
			"VALUE key=k flags=18446744073709551615 size=2147483645 cas=18446744073709551615"},
		{"VALUE " + longest + " 0 1", "VALUE key=" + longest + " size=1"},
		{"VALUE " + longest + "k 0 1", "none"},
		{"VALUE k 0 2147483646", "none"},
		{"VALUE k 18446744073709551616 1", "none"},
		{"VALUE k 0 1 18446744073709551616", "none"},
		{"VALUE", "none"}, {"VALUE ", "none"}, {"VALUE k", "none"}, {"VALUE k ", "none"}, {"VALUE k 0", "none"},
		{"VALUE k 0 ", "none"}, {"VALUE  0 1", "none"}, {"VALUE k 0 1 ", "none"}, {"VALUE k  0 1", "none"},
		{"VALUE k 0 -1", "none"}, {"VALUE k +0 1", "none"}, {"VALUE k 0 1x", "none"}, {"VALUE k 0 1 2 3", "none"},
		{"VALUE k x 1", "none"}, {"VALUE k 0 x", "none"}, {"value k 0 1", "none"},

		{"END", "END"}, {"END ", "none"}, {"ENDS", "none"}, {"EN", "EN"}, {"EN ", "EN"}, {"E", "none"}, {"", "none"},
		{" END", "none"},
		{"STORED x", "none"}, {"OK", "OK"}, {"OK ", "none"},
		{"5", "number 5"}, {"18446744073709551615", "number 18446744073709551615"}, {"18446744073709551616", "none"},
		{"9   ", "number 9"}, {"9 x", "none"}, {"9x", "none"}, {"-9", "none"}, {"12", "number 12"}, {"1 ", "number 1"},
		{"VERSION 1.6.40", "VERSION args=1.6.40"}, {"VERSION ", "VERSION args="}, {"VERSION", "none"},
		{"STAT pid 1", "STAT key=pid args=1"}, {"STAT threads", "STAT key=threads"}, {"STAT a b c", "STAT key=a args=b c"},
		{"STAT a ", "STAT key=a args="}, {"STAT ", "none"}, {"STAT", "none"}, {"STAT  a", "none"},

		{"HD", "HD"}, {"HD ", "HD"}, {"HDs5", "none"}, {"HD s5 t-1", "HD args=s5 t-1"}, {"hd", "none"},
		{"VA 5", "VA size=5"}, {"VA 5 f0 s5", "VA size=5 args=f0 s5"}, {"VA", "none"}, {"VA ", "none"}, {"VA x", "none"},
		{"VA 5s5", "none"}, {"VA 2147483646", "none"},
		{"ME k exp=-1 la=3", "ME key=k args=exp=-1 la=3"}, {"ME", "none"}, {"ME " + strings.Repeat("k", 337), "none"},
		{"MN", "MN"}, {"MN x", "none"}, {"NF b kAA==", "NF args=b kAA=="}, {"NS", "NS"}, {"EX", "EX"},

		{"ERROR", "ERROR"}, {"ERROR Too many open connections", "ERROR args=Too many open connections"}, {"ERRORS", "none"},
		{"SERVER_ERROR", "SERVER_ERROR"}, {"SERVER_ERROR  a ", "SERVER_ERROR args= a "}, {"SERVER_ERRORS", "none"},
		{"CLIENT_ERROR a\x00b", "CLIENT_ERROR args=a\x00b"},
	} {
		a := Answer{Kind: AnswerValue, Key: []byte("old"), Args: []byte("old"), CAS: 1, HasCAS: true} // none of it may stay
		ok := a.ParseLine([]byte(c.line))
		if got := showAnswer(&a); got != c.want || ok != (c.want != "none") {
			t.Errorf("%.80q: got %s, %v; want %s", c.line, got, ok, c.want)
		}
	}
}

func TestAnswerText(t *testing.T) {
	for _, line := range []string{"SERVER_ERROR out of memory storing object", "NOT_STORED", "ERROR", "HD s5"} {
		var a Answer
		if !a.ParseLine([]byte(line)) || a.Text() != line {
			t.Errorf("got %q; want %q", a.Text(), line)
		}
	}
}

func showAnswer(a *Answer) string {
	s := a.Kind.String()
	if a.Key != nil {
		s += " key=" + string(a.Key)
	}
	if a.ClientFlags != 0 {
		s += fmt.Sprint(" flags=", a.ClientFlags)
	}
	if a.Kind == AnswerValue || a.Kind == AnswerVA {
		s += fmt.Sprint(" size=", a.ValueBytes)
	}
	if a.HasCAS {
		s += fmt.Sprint(" cas=", a.CAS)
	}
	if a.Kind == AnswerNumber {
		s += fmt.Sprint(" ", a.Number)
	}
	if a.Args != nil {
		s += " args=" + string(a.Args)
	}
	return s
}

// FuzzAnswer checks that no line panics, that an invalid line leaves the Answer zero, and that a
// valid one prints and parses as the same.
func FuzzAnswer(f *testing.F) {
	for _, line := range []string{
		"VALUE k 0 5", "VALUE k 1 2147483645 3", "END", "NOT_STORED", "12 ", "VERSION 1", "STAT a b", "HD s5 t-1", "VA 5 f0",
		"EN", "ME k exp=-1", "MN", "ERROR", "CLIENT_ERROR bad", "SERVER_ERROR", "VALUE  0", "\x00", "VA 99999999999999999999",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var a, again Answer
		if !a.ParseLine(line) {
			if !reflect.DeepEqual(a, Answer{}) {
				t.Fatalf("%q is no answer: got %+v; want nothing", line, a)
			}
			return
		}
		if a.ValueBytes < 0 || a.ValueBytes > maxBlockBytes || a.Kind == NoAnswer {
			t.Fatalf("%q: got %+v", line, a)
		}
		printed := a.AppendLine(nil)
		if !again.ParseLine(printed) || !reflect.DeepEqual(a, again) {
			t.Fatalf("%q, printed as %q: got %+v; want %+v", line, printed, again, a)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	line := []byte("VALUE some-key-of-usual-length 0 1000")
	var a Answer
	for b.Loop() {
		if !a.ParseLine(line) {
			b.Fatal("no answer")
		}
	}
}
