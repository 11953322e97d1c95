package mc

import (
	"fmt"
	"math"
	"testing"
)

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendValue(nil, []byte("k"), 0, 3), "VALUE k 0 3\r\n"},
		{AppendValue(nil, []byte("key"), math.MaxUint32, 1<<20), "VALUE key 4294967295 1048576\r\n"},
		{AppendValueCAS(nil, []byte("k"), 5, 0, math.MaxUint64), "VALUE k 5 0 18446744073709551615\r\n"},
		{AppendMetaValue(nil, 12), "VA 12"},
		{AppendMetaUint([]byte(HD), 's', 100), "HD s100"},
		{AppendMetaKey([]byte(EN), []byte("key"), false), "EN kkey"},
		{AppendMetaKey([]byte(EN), []byte("key"), true), "EN ka2V5 b"},
		{AppendMetaKey([]byte(EN), []byte{0}, true), "EN kAA== b"},
		{AppendClientError(nil, "no"), "CLIENT_ERROR no\r\n"},
		{AppendServerError(nil, "no"), "SERVER_ERROR no\r\n"},
	} {
		if string(c.got) != c.want {
			t.Errorf("got %q; want %q", c.got, c.want)
		}
	}
}

func ExampleToken() {
	args := []byte("v t  Oabc")
	for tok, rest := Token(args); tok != nil; tok, rest = Token(rest) {
		fmt.Println(string(tok))
	}
	// Output:
	// v
	// t
	// Oabc
}

func ExampleDecoder() {
	var d Decoder
	b := NewBatch(func(*Batch) {})
	in := []byte("get a b\r\nset c 0 60 5\r\nhel")
	used, err := d.Decode(in, b)
	for i := range b.Requests {
		r := &b.Requests[i]
		fmt.Println(r.Op, string(r.Key), r.Last)
	}
	fmt.Println("left:", len(in)-used, "of", d.Need(), err)
	// Output:
	// get a false
	// get b true
	// left: 17 of 21 <nil>
}
