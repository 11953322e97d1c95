package mc

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// newRand returns a generator from a new seed, and logs the seed if the test fails.
func newRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// randomKey returns a key that a line of text can have, or with any bytes if they are sent as
// base64.
func randomKey(r *rand.Rand, binary bool) []byte {
	if !binary && r.IntN(20) == 0 {
		return []byte("noreply")
	}
	key := make([]byte, 1+r.IntN([]int{4, MaxKeyBytes}[r.IntN(2)]))
	for i := range key {
		key[i] = byte(r.Uint32())
		for !binary && (key[i] == ' ' || key[i] == '\r' || key[i] == '\n') {
			key[i] = byte(r.Uint32())
		}
	}
	return key
}

func randomValue(r *rand.Rand) []byte {
	value := make([]byte, r.IntN([]int{3, 2000}[r.IntN(2)]))
	for i := range value {
		value[i] = "a \r\n\x00"[r.IntN(5)]
	}
	return value
}

func randomUint(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(64) }

// randomRequest returns a request that a client may send, as the decoder should return it. Gets are
// Last.
func randomRequest(r *rand.Rand) Request {
	c := Request{Op: Get + Op(r.IntN(int(MetaDebug-Get)+1)), Key: randomKey(r, false)}
	exptime, noreply := int64(int32(r.Uint32())), r.IntN(3) == 0
	switch {
	case c.Op.IsGet():
		c.Last = true
		if c.Op == Gat || c.Op == Gats {
			c.Exptime = exptime
		}
		return c
	case c.Op.IsMeta():
		randomMeta(r, &c)
		return c
	case c.Op == MetaNoop:
		return Request{Op: MetaNoop}
	case c.Op >= Set && c.Op <= CAS:
		c.ClientFlags, c.Exptime, c.Value = r.Uint32(), exptime, randomValue(r)
		if c.Op == CAS {
			c.CAS = randomUint(r)
		}
	case c.Op == Touch:
		c.Exptime = exptime
	case c.Op == Incr || c.Op == Decr:
		c.Delta = randomUint(r)
	case c.Op == FlushAll:
		c.Key = nil
		if c.HasExptime = r.IntN(2) == 0; c.HasExptime {
			c.Exptime = exptime
		}
	}
	c.NoReply = noreply
	return c
}

// randomMeta gives c random flags, each once, and the fields that they stand for.
func randomMeta(r *rand.Rand, c *Request) {
	var args []string
	add := func(flag string) {
		args = append(args, flag)
		c.Flags |= Flag(flag[0])
	}
	if c.Op == MetaArithmetic {
		c.Delta = 1
	}
	if c.Op == MetaSet {
		c.Value = randomValue(r)
	}
	if r.IntN(3) == 0 {
		add("b")
		c.Key = randomKey(r, true)
		c.Key = c.Key[:min(len(c.Key), MaxKeyBytes/4*3)] // the limit is that of its base64
	}
	if c.Op == MetaDebug {
		c.Args = []byte(strings.Join(args, " "))
		return
	}
	exptime, number := int64(int32(r.Uint32())), randomUint(r)
	for _, set := range []func(){
		func() { add("q"); c.NoReply = true }, func() { add("v") }, func() { add("k") }, func() { add("s") },
		func() { add("O" + strings.Repeat("o", r.IntN(maxOpaqueBytes))) }, func() { add("t") }, func() { add("I") },
		func() { add(fmt.Sprint("T", exptime)); c.Exptime = exptime },
		func() { add(fmt.Sprint("N", exptime)); c.Vivify = exptime },
		func() { add(fmt.Sprint("R", exptime)); c.Recache = exptime },
		func() { add(fmt.Sprint("C", number)); c.CAS = number },
		func() { add(fmt.Sprint("E", number)); c.NewCAS = number },
		func() { add(fmt.Sprint("F", uint32(number))); c.ClientFlags = uint32(number) },
		func() { add(fmt.Sprint("D", number)); c.Delta = number },
		func() { add(fmt.Sprint("J", number)); c.Initial = number },
		func() {
			modes := map[Op]string{MetaSet: "SEAPR", MetaArithmetic: "ID+-"}[c.Op]
			if modes != "" {
				c.Mode = modes[r.IntN(len(modes))]
				add("M" + string(c.Mode))
			}
		},
	} {
		if r.IntN(4) == 0 {
			set()
		}
	}
	r.Shuffle(len(args), func(i, j int) { args[i], args[j] = args[j], args[i] })
	c.Args = []byte(strings.Join(args, " "))
}

// TestRandomRequests prints batches of random requests of every command, and decodes them cut in
// pieces: they come back as they were.
func TestRandomRequests(t *testing.T) {
	r := newRand(t)
	seen := map[Op]int{}
	for range 1500 {
		var want []Request
		for range 1 + r.IntN(20) {
			c := randomRequest(r)
			if n := len(want); n > 0 && c.Op.IsGet() && r.IntN(2) == 0 { // another key of the line before
				if last := &want[n-1]; last.Op.IsGet() {
					last.Last = false
					c.Op, c.Exptime = last.Op, last.Exptime
				}
			}
			seen[c.Op]++
			want = append(want, c)
		}
		text := AppendRequests(nil, want)
		f := newFeeder(Decoder{})
		for rest := text; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			if err := f.feed(rest[:n]); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			rest = rest[n:]
		}
		if !sameRequests(f.got, want) {
			t.Fatalf("%q:\n got %s\nwant %s", text, showAll(f.got), showAll(want))
		}
	}
	if want := int(MetaDebug-Get) + 1; len(seen) != want {
		t.Errorf("%d commands were tried; want %d", len(seen), want)
	}
}

// TestKeyLimits: each command accepts a key of 250 bytes, and refuses one byte more without losing
// the next request.
func TestKeyLimits(t *testing.T) {
	for _, form := range []string{
		"get %s\r\n", "gets %s\r\n", "gat 0 %s\r\n", "gats 0 %s\r\n", "get a %s\r\n",
		"set %s 0 0 1\r\nx\r\n", "add %s 0 0 1\r\nx\r\n", "replace %s 0 0 1\r\nx\r\n", "append %s 0 0 1\r\nx\r\n",
		"prepend %s 0 0 1\r\nx\r\n", "cas %s 0 0 1 1\r\nx\r\n",
		"delete %s\r\n", "incr %s 1\r\n", "decr %s 1\r\n", "touch %s 0\r\n",
		"mg %s v\r\n", "ms %s 1\r\nx\r\n", "md %s\r\n", "ma %s\r\n", "me %s\r\n",
	} {
		for _, size := range []int{1, MaxKeyBytes, MaxKeyBytes + 1} {
			key := strings.Repeat("k", size)
			f := newFeeder(Decoder{})
			if err := f.feed(fmt.Appendf(nil, form+"mn\r\n", key)); err != nil {
				t.Errorf("%q with %d bytes: %v", form, size, err)
				continue
			}
			n := len(f.got)
			if n < 2 || f.got[n-1].Op != MetaNoop || len(f.held) > 0 {
				t.Errorf("%q with %d bytes: got %s; want the request and mn", form, size, showAll(f.got))
				continue
			}
			if refused := f.got[n-2].Op == Invalid; refused != (size > MaxKeyBytes) ||
				!refused && string(f.got[n-2].Key) != key {
				t.Errorf("%q with %d bytes: got %.80s", form, size, showAll(f.got))
			}
		}
	}
}

var (
	cNumber      = regexp.MustCompile(`^[ \t\n\v\f\r]*([-+]?[0-9]+)(?:[\x00 \t\n\v\f\r]|$)`)
	strictNumber = regexp.MustCompile(`^-?[0-9]*$`)
)

// randomNumber returns a token that is a number or nearly one, often at a limit.
func randomNumber(r *rand.Rand) string {
	limits := []string{"0", "127", "2147483645", "2147483646", "2147483647", "2147483648", "4294967295", "4294967296",
		"9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
		"99999999999999999999"}
	s := limits[r.IntN(len(limits))]
	if r.IntN(3) == 0 {
		s = fmt.Sprint(randomUint(r))
	}
	s = []string{"", "", "", "-", "+", "--", "\t", "0000000000"}[r.IntN(8)] + s
	s += []string{"", "", "", "", "x", "\t", "\x00y", "-"}[r.IntN(8)]
	if r.IntN(20) == 0 {
		s = s[:r.IntN(len(s))]
	}
	return s
}

// TestNumbersLikeC compares the parsers of numbers with strtol, strtoull and mcmc's tokto32,
// written with big integers.
func TestNumbersLikeC(t *testing.T) {
	r := newRand(t)
	between := func(n *big.Int, low, high string) bool {
		l, _ := new(big.Int).SetString(low, 10)
		h, _ := new(big.Int).SetString(high, 10)
		return n.Cmp(l) >= 0 && n.Cmp(h) <= 0
	}
	wrap := new(big.Int).Lsh(big.NewInt(1), 64)
	for range 50_000 {
		token := randomNumber(r)
		n, valid := new(big.Int), false
		if m := cNumber.FindStringSubmatch(token); m != nil {
			_, valid = n.SetString(m[1], 10)
		}
		wantOK := valid && between(n, "-9223372036854775808", "9223372036854775807")
		if got, ok := parseInt([]byte(token)); ok != wantOK || ok && got != n.Int64() {
			t.Fatalf("parseInt(%q): got %d, %v; want %s, %v", token, got, ok, n, wantOK)
		}
		unsigned := new(big.Int).Set(n)
		wantOK = valid && between(n, "-18446744073709551615", "18446744073709551615")
		if wantOK && strings.Contains(token, "-") && n.Sign() <= 0 {
			unsigned.Mod(unsigned, wrap)
			wantOK = between(unsigned, "0", "9223372036854775807")
		}
		if got, ok := parseUint([]byte(token)); ok != wantOK || ok && got != unsigned.Uint64() {
			t.Fatalf("parseUint(%q): got %d, %v; want %s, %v", token, got, ok, unsigned, wantOK)
		}
		strict, ok := new(big.Int).SetString(token, 10)
		if token == "-" {
			strict, ok = new(big.Int), true
		}
		wantOK = ok && len(token) <= 11 && strictNumber.MatchString(token) && between(strict, "-2147483648", "2147483647")
		if got, ok := parseInt32([]byte(token)); ok != wantOK || ok && int64(got) != strict.Int64() {
			t.Fatalf("parseInt32(%q): got %d, %v; want %v, %v", token, got, ok, strict, wantOK)
		}
		wantOK = wantOK && between(strict, "0", fmt.Sprint(maxBlockBytes))
		if got, ok := parseSize([]byte(token)); ok != wantOK || ok && int64(got) != strict.Int64() {
			t.Fatalf("parseSize(%q): got %d, %v; want %v, %v", token, got, ok, strict, wantOK)
		}
	}
}

// TestBase64Keys: keys that encoding/base64 encodes decode as they were, also in place, with
// foreign bytes anywhere, and with text after the padding; the length is known without decoding.
func TestBase64Keys(t *testing.T) {
	r := newRand(t)
	for range 20_000 {
		key := randomKey(r, true)
		text := base64.StdEncoding.EncodeToString(key)
		if r.IntN(2) == 0 {
			for range r.IntN(5) {
				at := r.IntN(len(text) + 1)
				text = text[:at] + string("!-_. \x80"[r.IntN(6)]) + text[at:]
			}
		}
		if strings.HasSuffix(text, "=") && r.IntN(3) == 0 {
			text += "AAAA"
		}
		dst := make([]byte, len(text))
		n := decodeBase64(dst, []byte(text))
		if !bytes.Equal(dst[:n], key) || decodeBase64(nil, []byte(text)) != n {
			t.Fatalf("%q: got %q, length %d; want %q", text, dst[:n], decodeBase64(nil, []byte(text)), key)
		}
		src := []byte(text)
		if n := decodeBase64(src, src); !bytes.Equal(src[:n], key) {
			t.Fatalf("%q in place: got %q; want %q", text, src[:n], key)
		}
	}
	for _, bad := range []string{"", "A", "AA", "AAA", "AAAAA", "====", "A===", "!!!!"} {
		if n := decodeBase64(nil, []byte(bad)); n != 0 {
			t.Errorf("%q: got %d bytes; want that it can't be decoded", bad, n)
		}
	}
}

// TestRandomPackets decodes streams of random binary requests, valid and not, byte by byte and
// whole, and wants the same requests, with each noop between them found unless the connection ends.
func TestRandomPackets(t *testing.T) {
	r := newRand(t)
	malformed := 0
	for range 4000 {
		var in []byte
		noops := 0
		for range 1 + r.IntN(6) {
			p := packet{opcode: Opcode(r.IntN(0x28)), opaque: r.Uint32(), cas: randomUint(r) * r.Uint64N(2)}
			shape := binaryOps[p.opcode]
			p.extras = string(randomValue(r))
			if r.IntN(4) > 0 && len(p.extras) >= int(shape.extras) {
				p.extras = p.extras[:shape.extras]
			} else {
				p.extras = strings.Repeat("e", int(shape.extras))
			}
			p.extras = p.extras[:min(len(p.extras), 255)]
			if shape.body == bodyKey || shape.body == bodyValue || r.IntN(10) == 0 {
				p.key = string(randomKey(r, true))
			}
			if shape.body == bodyValue || r.IntN(20) == 0 {
				p.value = string(randomValue(r))
			}
			in = append(append(in, p.String()...), packet{opcode: OpcodeNoop, opaque: 1234}.String()...)
			noops++
		}
		options := BinaryDecoder{ItemMaxBytes: 1500, SASL: r.IntN(2) == 0, NoFlush: r.IntN(2) == 0}
		whole, pieces := options, options
		a, b := feederOf(&whole), feederOf(&pieces)
		errWhole := a.feed(in)
		var errPieces error
		for rest := in; len(rest) > 0 && errPieces == nil; rest = rest[1:] {
			errPieces = b.feed(rest[:1])
		}
		ended := false
		for i, got := range a.got {
			if got.Op == Malformed {
				a.got, ended = a.got[:i+1], true // a server closes the connection here
				break
			}
			if got.Op == MetaNoop && got.Opaque == 1234 {
				noops--
			}
		}
		if ended {
			malformed++
			b.got = b.got[:min(len(b.got), len(a.got))]
		} else if noops != 0 || errWhole != nil || errPieces != nil {
			t.Fatalf("% x: %d noops are lost, errors %v and %v: %s", in, noops, errWhole, errPieces, showAll(a.got))
		}
		if !sameRequests(a.got, b.got) {
			t.Fatalf("% x: whole %s\nbyte by byte %s", in, showAll(a.got), showAll(b.got))
		}
	}
	if malformed == 0 || malformed > 3500 {
		t.Errorf("%d of 4000 streams were malformed; want some", malformed)
	}
}

// TestFaults: each text that refuses a request is one line that parses as an error.
func TestFaults(t *testing.T) {
	for _, fault := range []string{BadCommand, BadLine, NotANumber, TooLarge, OutOfMemory, NoMemoryDelta, faultCommand,
		faultLine, faultDelete, faultBlock, faultExptime, faultDelta, faultFlush, faultFlags, faultFlag, faultDuplicate,
		faultToken, faultBase64, faultOpaque, faultInitial, faultMetaDelta, faultSetMode, faultArithmetic,
		faultArithmeticMode} {
		var a Answer
		if _, ok := a.Parse([]byte(fault)); !ok || !a.Kind.IsError() || a.Text()+CRLF != fault {
			t.Errorf("%q: got %s, %v; want an error of the same text", fault, a.Kind, ok)
		}
	}
}

// TestBatchIsFull: answers and pinned values count together, up to the byte, and not once they were
// written.
func TestBatchIsFull(t *testing.T) {
	done := 0
	b := NewBatch(func(*Batch) { done++ })
	pin := func(n int) { b.Pin([][]byte{make([]byte, n/2), make([]byte, n-n/2)}, func() {}) }
	b.Out = append(b.Out, make([]byte, 1000)...)
	pin(FullBytes - 1001)
	if b.Full() {
		t.Error("full one byte before the limit")
	}
	b.Out = append(b.Out, 'x')
	if !b.Full() {
		t.Error("not full at the limit")
	}
	pin(10)
	if got := []int{b.Pinned[0].At, b.Pinned[1].At}; got[0] != 1000 || got[1] != 1001 {
		t.Errorf("pins at %v; want 1000 and 1001", got)
	}
	b.Carry, b.Binary = []byte("kept"), true
	b.Requests = append(b.Requests, Request{Op: Get})
	b.ResetOut()
	if b.Full() || len(b.Out) != 0 || len(b.Pinned) != 0 || len(b.Requests) != 1 {
		t.Errorf("after ResetOut: %d bytes, %d pins, %d requests", len(b.Out), len(b.Pinned), len(b.Requests))
	}
	b.Next = 1
	b.Reset()
	if len(b.Requests) != 0 || b.Next != 0 || string(b.Carry) != "kept" || !b.Binary {
		t.Errorf("after Reset: %+v", b)
	}
	if b.Done(); done != 1 {
		t.Errorf("done %d times; want once", done)
	}
}
