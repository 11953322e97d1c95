package holdfast

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"slices"
	"strings"
)

// A Token is what a client has seen: of each shard, the newest transaction that it has written, or
// that an answer may have shown it. Whoever gets a token answers nothing older. The zero Token has
// seen nothing.
//
// It is small, whatever number of shards there is: the shards that were seen longest ago are left
// out. Answers of those are then as if there were no token.
type Token struct {
	seen []TxID // the shard that was seen last is the first; none twice, none with index 0
}

// MaxTokenBytes is the length of the longest text of a token.
const MaxTokenBytes = 1024

const (
	tokenVersion = '1'
	tokenSum     = 4
	// maxTokenBody is how many bytes the transactions of a token have: the text has one more for the
	// version, and four characters for three bytes.
	maxTokenBody = (MaxTokenBytes-1)/4*3 - tokenSum
	maxTokenSeen = maxTokenBody / 3 // a transaction has three bytes at least
)

// tokenText is base64 for URLs and headers. It refuses bits behind the last byte, but not line ends.
var tokenText = base64.RawURLEncoding.Strict()

// See adds a transaction, with all before it in its shard.
func (t *Token) See(tx TxID) {
	if tx.Index == 0 {
		return
	}
	next := make([]TxID, 1, min(len(t.seen)+1, maxTokenSeen)) // copies of the token keep what they have
	next[0] = tx
	for _, s := range t.seen {
		switch {
		case s.Shard != tx.Shard && len(next) < maxTokenSeen:
			next = append(next, s)
		case s.Shard == tx.Shard && tx.Compare(s) < 0:
			next[0] = s
		}
	}
	t.seen = next
}

// Join adds all that another token has seen.
func (t *Token) Join(o Token) {
	for _, tx := range slices.Backward(o.seen) {
		if has, ok := t.Of(tx.Shard); !ok || has.Compare(tx) < 0 {
			t.See(tx)
		}
	}
}

// Forget leaves out a shard.
func (t *Token) Forget(shard ShardID) {
	t.seen = slices.DeleteFunc(slices.Clone(t.seen), func(tx TxID) bool { return tx.Shard == shard })
}

// Len returns of how many shards something was seen.
func (t Token) Len() int { return len(t.seen) }

// All returns the newest transaction of each shard that the client has seen.
func (t Token) All() iter.Seq[TxID] { return slices.Values(t.seen) }

// Of returns the newest transaction of a shard that the client has seen; !ok: none.
func (t *Token) Of(shard ShardID) (tx TxID, ok bool) {
	for _, tx := range t.seen {
		if tx.Shard == shard {
			return tx, true
		}
	}
	return TxID{}, false
}

// String returns the token's text, of MaxTokenBytes at most: the version 1, and, unless nothing was
// seen, base64 (of URLs, without padding) of the shards, terms and indexes of transactions as
// varints, and a CRC-32C of those.
func (t Token) String() string {
	var body []byte
	for _, tx := range t.seen {
		end := len(body)
		for _, n := range [...]uint64{uint64(tx.Shard), tx.Term, tx.Index} {
			body = binary.AppendUvarint(body, n)
		}
		if len(body) > maxTokenBody {
			body = body[:end]
			break
		}
	}
	if len(body) == 0 {
		return string(tokenVersion)
	}
	body = binary.BigEndian.AppendUint32(body, sumOf(body))
	return string(tokenVersion) + tokenText.EncodeToString(body)
}

// ParseToken returns the token of a text. The error is Invalid.
func ParseToken(text string) (Token, error) {
	switch {
	case len(text) > MaxTokenBytes:
		return Token{}, Errorf(Invalid, "a token has at most %d bytes", MaxTokenBytes)
	case text == "", strings.ContainsAny(text, "\r\n"):
		return Token{}, errToken()
	case text[0] < '0' || text[0] > '9':
		return Token{}, errToken()
	case text[0] != tokenVersion:
		return Token{}, Errorf(Invalid, "the token is of another version than 1")
	case len(text) == 1:
		return Token{}, nil
	}
	body, err := tokenText.DecodeString(text[1:])
	if err != nil || len(body) <= tokenSum {
		return Token{}, errToken()
	}
	rest := body[:len(body)-tokenSum]
	if binary.BigEndian.Uint32(body[len(rest):]) != sumOf(rest) {
		return Token{}, errToken()
	}
	t := Token{}
	for len(rest) > 0 {
		var numbers [3]uint64
		for i := range numbers {
			n, size := binary.Uvarint(rest)
			if size <= 0 || size > 1 && rest[size-1] == 0 {
				return Token{}, errToken()
			}
			numbers[i], rest = n, rest[size:]
		}
		tx := TxID{Shard: ShardID(numbers[0]), Term: numbers[1], Index: numbers[2]}
		if _, twice := t.Of(tx.Shard); twice || tx.Index == 0 || len(t.seen) == maxTokenSeen {
			return Token{}, errToken()
		}
		t.seen = append(t.seen, tx)
	}
	return t, nil
}

func sumOf(body []byte) uint32 {
	return crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) // MakeTable caches this table
}

func errToken() error { return Errorf(Invalid, "the token isn't one that was given, or isn't whole") }

// Compare returns -1, 0 or 1 as t is before, at, or behind o in the log of their shard.
func (t TxID) Compare(o TxID) int {
	return cmp.Or(cmp.Compare(t.Term, o.Term), cmp.Compare(t.Index, o.Index))
}
