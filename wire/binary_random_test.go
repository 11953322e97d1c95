package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// TestBinaryRandom sends the same random requests of the binary protocol to Holdfast and to
// memcached, and compares the answers, byte by byte except for the CAS: two answers that have the
// same CAS on one side must have the same CAS on the other.
func TestBinaryRandom(t *testing.T) {
	peers := [2]*process{start(t, holdfast(t)), start(t, memcached(t, find(t, "memcached")))}
	for seed := range uint64(20) {
		g := &binaryGenerator{rand: rand.New(rand.NewPCG(seed, 1)), peers: peers}
		for at := range g.conns {
			g.conns[at] = dial(t, peers[at])
		}
		for round := range 60 {
			if err := g.round(t); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
	}
}

// A binaryGenerator makes requests, and knows the CAS numbers in each side's answers.
type binaryGenerator struct {
	rand  *rand.Rand
	peers [2]*process
	conns [2]net.Conn
	cas   [][2]uint64 // of the answers, Holdfast's and memcached's
}

const (
	binaryHeader = 24
	opcodeNoop   = 0x0a
	roundEnd     = 0xffffffff // the opaque of a round's last request
)

// round sends some requests and a noop, and compares the answers up to that of the noop, or up to
// the end if a request closes the connection.
func (g *binaryGenerator) round(t *testing.T) error {
	var requests [2]string
	var sent []string
	for i := range 1 + g.rand.IntN(12) {
		pair, text := g.request(uint32(i))
		requests[0] += pair[0]
		requests[1] += pair[1]
		sent = append(sent, text)
	}
	var answers [2][]string
	for at, conn := range g.conns {
		end := binaryPacket(opcodeNoop, "", "", "", 0, roundEnd)
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(conn, requests[at]+end)
			sent <- err
		}()
		answers[at] = readBinary(conn, at, &g.cas)
		<-sent // an error shows in the answers
	}
	if len(answers[0]) != len(answers[1]) {
		return fmt.Errorf("%s:\n got %d answers %q\nwant %d %q", strings.Join(sent, "\n"),
			len(answers[0]), answers[0], len(answers[1]), answers[1])
	}
	for i := range answers[0] {
		if answers[0][i] != answers[1][i] {
			return fmt.Errorf("%s:\n got %.300q\nwant %.300q", strings.Join(sent, "\n"), answers[0][i], answers[1][i])
		}
	}
	if n := len(answers[0]); n == 0 || answers[0][n-1] == "the end" {
		for at := range g.conns {
			g.conns[at].Close()
			g.conns[at] = dial(t, g.peers[at])
		}
	}
	return nil
}

// readBinary reads answers up to the end of the round, or of the connection. It replaces a CAS by
// its place among those seen so far.
func readBinary(conn net.Conn, side int, told *[][2]uint64) (answers []string) {
	h := make([]byte, binaryHeader)
	for {
		if _, err := io.ReadFull(conn, h); err != nil {
			return append(answers, "the end")
		}
		body := make([]byte, binary.BigEndian.Uint32(h[8:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return append(answers, "the end")
		}
		cas := binary.BigEndian.Uint64(h[16:])
		place := 0
		if cas != 0 {
			place = placeOfCAS(told, side, cas)
		}
		answers = append(answers, fmt.Sprintf("% x cas %d %s", h[:16], place, body))
		if binary.BigEndian.Uint32(h[12:]) == roundEnd {
			return answers
		}
	}
}

// placeOfCAS finds the CAS among those of its side, or gives it the next free place.
func placeOfCAS(told *[][2]uint64, side int, cas uint64) int {
	for i := range *told {
		switch (*told)[i][side] {
		case cas:
			return i + 1
		case 0:
			(*told)[i][side] = cas
			return i + 1
		}
	}
	var pair [2]uint64
	pair[side] = cas
	*told = append(*told, pair)
	return len(*told)
}

func binaryPacket(opcode byte, extras, key, value string, cas uint64, opaque uint32) string {
	h := make([]byte, binaryHeader)
	h[0], h[1], h[4] = 0x80, opcode, byte(len(extras))
	binary.BigEndian.PutUint16(h[2:], uint16(len(key)))
	binary.BigEndian.PutUint32(h[8:], uint32(len(extras)+len(key)+len(value)))
	binary.BigEndian.PutUint32(h[12:], opaque)
	binary.BigEndian.PutUint64(h[16:], cas)
	return string(h) + extras + key + value
}

// request makes a request for each side; the two differ only in the CAS.
func (g *binaryGenerator) request(opaque uint32) (pair [2]string, sent string) {
	opcode, extras, key, value := g.parts()
	var cas [2]uint64
	switch n := g.rand.IntN(12); {
	case n == 0:
		cas = [2]uint64{1 << 60, 1 << 60}
	case n <= 3 && len(g.cas) > 0:
		cas = g.cas[len(g.cas)-1-g.rand.IntN(min(len(g.cas), 6))]
	}
	for at := range pair {
		pair[at] = binaryPacket(opcode, extras, key, value, cas[at], opaque)
	}
	return pair, fmt.Sprintf("%d: opcode %#x extras %x key %.20q value %.20q (%d) cas %v",
		opaque, opcode, extras, key, value, len(value), cas)
}

// parts are the parts of a request. It leaves out the cases in which Holdfast differs, as
// docs/protocol.md says: unknown commands with extras or a key, and a value after touch, gat or
// stat.
func (g *binaryGenerator) parts() (opcode byte, extras, key, value string) {
	key = []string{"a", "b", "c", "a b", "\x00\r\n", strings.Repeat("k", 250), "n"}[g.rand.IntN(7)]
	values := []string{
		"", "1", "8446744073709551000", "12", "word", strings.Repeat("v", 3000), strings.Repeat("w", 200_000),
	}
	value = values[g.rand.IntN(len(values))]
	u32 := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	exptime := u32([]uint32{0, 0, 100, 60 * 60 * 24 * 30, 4_000_000_000, 1, 1_000_000_000}[g.rand.IntN(5)])
	pick := func(opcodes ...byte) byte { return opcodes[g.rand.IntN(len(opcodes))] }
	if g.rand.IntN(60) == 0 {
		return g.odd(key)
	}
	switch n := g.rand.IntN(20); {
	case n < 6: // get
		return pick(0x00, 0x09, 0x0c, 0x0d), "", key, ""
	case n < 11: // set, add, replace
		return pick(0x01, 0x11, 0x01, 0x02, 0x12, 0x03, 0x13), u32(g.rand.Uint32()) + exptime, key, value
	case n < 13: // append, prepend
		return pick(0x0e, 0x19, 0x0f, 0x1a), "", key, value[:min(len(value), 10)]
	case n < 16: // incr, decr
		// A number that gets shorter keeps its length, but in memcached not while an answer with it is on
		// its way; so none does.
		create := []string{exptime, u32(1<<32 - 1)}[g.rand.IntN(2)]
		initial := u32(0) + u32(g.rand.Uint32N(100)) + create
		if g.rand.IntN(3) == 0 {
			return pick(0x06, 0x16), u32(0) + u32(0) + initial, key, ""
		}
		return pick(0x05, 0x15), u32(g.rand.Uint32N(3)) + u32(g.rand.Uint32()) + initial, key, ""
	case n < 17: // delete
		return pick(0x04, 0x14), "", key, ""
	case n < 18: // touch, gat
		return pick(0x1c, 0x1d, 0x1e, 0x23, 0x24), exptime, key, ""
	case n < 19 && g.rand.IntN(3) == 0: // flush
		return pick(0x08, 0x18), pick2(g.rand, "", u32(0)), "", ""
	}
	return pick(opcodeNoop, 0x0a, 0x20), "", "", "" // the SASL commands are unknown without -S
}

func pick2(r *rand.Rand, a, b string) string {
	if r.IntN(2) == 0 {
		return a
	}
	return b
}

// odd is a request that fails, and may close the connection.
func (g *binaryGenerator) odd(key string) (opcode byte, extras, k, value string) {
	switch g.rand.IntN(10) {
	case 0:
		return 0x77, "", "", strings.Repeat("x", 5000)
	case 1:
		return 0x01, "12345678", key, strings.Repeat("x", 1<<20+1)
	case 2:
		return 0x0e, "", key, strings.Repeat("x", 1<<20+1)
	case 3:
		return 0x00, "", "", ""
	case 4:
		return 0x00, "", strings.Repeat("k", 251), ""
	case 5:
		return 0x01, "1234", key, "v"
	case 6:
		return 0x0a, "", key, ""
	case 7:
		return 0x10, "", "nonsense", ""
	case 8:
		return 0x07, "", "", ""
	}
	return byte(g.rand.IntN(2)) * 0x17, "e", "", ""
}
