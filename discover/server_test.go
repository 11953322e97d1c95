package discover

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Types of records and codes of answers, RFC 1035 section 3.2.2, RFC 3596, RFC 2782.
const (
	typeA    = 1
	typeAAAA = 28
	typeSRV  = 33

	codeOK         = 0
	codeServerFail = 2
	codeNoName     = 3

	// packetBytes is the largest answer that Go's resolver accepts by UDP; larger ones go by TCP.
	packetBytes = 1232
)

// dnsServer answers questions by UDP and TCP on the loopback.
type dnsServer struct {
	packets net.PacketConn
	streams net.Listener
	done    sync.WaitGroup

	mu     sync.Mutex // guards all below
	zone   map[string][]record
	fails  map[uint16]bool // types whose questions are answered with a failure
	silent map[uint16]bool // types whose questions are not answered
	conns  map[net.Conn]bool
	byTCP  int
}

// A record is of a name; data is as on the wire.
type record struct {
	kind uint16
	data []byte
}

func address(s string) record {
	a := netip.MustParseAddr(s)
	if a.Is4() {
		return record{typeA, a.AsSlice()}
	}
	return record{typeAAAA, a.AsSlice()}
}

func service(priority, weight, port uint16, target string) record {
	data := binary.BigEndian.AppendUint16(nil, priority)
	data = binary.BigEndian.AppendUint16(data, weight)
	data = binary.BigEndian.AppendUint16(data, port)
	return record{typeSRV, appendName(data, target)}
}

func appendName(dst []byte, name string) []byte {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label != "" {
			dst = append(append(dst, byte(len(label))), label...)
		}
	}
	return append(dst, 0)
}

// startDNS serves an empty zone until the test ends.
func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", streams.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{packets: packets, streams: streams, zone: map[string][]record{}, fails: map[uint16]bool{},
		silent: map[uint16]bool{}, conns: map[net.Conn]bool{}}
	s.done.Go(s.servePackets)
	s.done.Go(s.serveStreams)
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

// resolver is Go's, asking this server only.
func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.streams.Addr().String())
	}}
}

// set replaces the records of a name, which ends in a dot. Without any, the name exists but has no
// records.
func (s *dnsServer) set(name string, records ...record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone[name] = records
}

// unset removes a name.
func (s *dnsServer) unset(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zone, name)
}

// hush and fail select the types of questions that get no answer, or a failure.
func (s *dnsServer) hush(kinds ...uint16) { s.mark(func() { s.silent = only(kinds) }) }
func (s *dnsServer) fail(kinds ...uint16) { s.mark(func() { s.fails = only(kinds) }) }

func (s *dnsServer) mark(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func only(kinds []uint16) map[uint16]bool {
	return maps.Collect(func(yield func(uint16, bool) bool) {
		for _, k := range kinds {
			if !yield(k, true) {
				return
			}
		}
	})
}

func (s *dnsServer) servePackets() {
	in := make([]byte, 4096)
	for {
		n, from, err := s.packets.ReadFrom(in)
		if err != nil {
			return
		}
		if out := s.answer(in[:n], packetBytes); out != nil {
			if _, err := s.packets.WriteTo(out, from); err != nil {
				return
			}
		}
	}
}

func (s *dnsServer) serveStreams() {
	for {
		conn, err := s.streams.Accept()
		if err != nil {
			return
		}
		s.mark(func() { s.conns[conn] = true; s.byTCP++ })
		s.done.Go(func() {
			defer conn.Close()
			for s.serveStream(conn) == nil {
			}
		})
	}
}

func (s *dnsServer) serveStream(conn net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	in := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		return err
	}
	out := s.answer(in, 65535)
	if out == nil {
		return nil
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	return err
}

// answer is RFC 1035's section 4: a header of twelve bytes, the question, and the answers, which
// name the question's name by its place. It is nil for silence.
func (s *dnsServer) answer(in []byte, mostBytes int) []byte {
	const headerBytes, pointerToQuestion = 12, 0xc000 | 12
	name, end := "", headerBytes
	for in[end] != 0 {
		n := int(in[end])
		name += string(in[end+1:end+1+n]) + "."
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(in[end+1:])
	end += 5
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent[kind] {
		return nil
	}
	records, known := s.zone[name]
	records = slices.DeleteFunc(slices.Clone(records), func(r record) bool { return r.kind != kind })
	code := byte(codeOK)
	switch {
	case s.fails[kind]:
		code, records = codeServerFail, nil
	case !known:
		code = codeNoName
	}
	out := slices.Clone(in[:end])
	out[2], out[3] = 0x80|in[2]&1, 0x80|code // an answer; recursion as desired, and available
	binary.BigEndian.PutUint16(out[6:], uint16(len(records)))
	clear(out[8:headerBytes])
	for _, r := range records {
		out = binary.BigEndian.AppendUint16(out, pointerToQuestion)
		out = binary.BigEndian.AppendUint16(out, r.kind)
		out = binary.BigEndian.AppendUint16(out, 1) // IN
		out = binary.BigEndian.AppendUint32(out, 5) // TTL in seconds
		out = binary.BigEndian.AppendUint16(out, uint16(len(r.data)))
		out = append(out, r.data...)
	}
	if len(out) > mostBytes {
		out = out[:end]
		out[2] |= 0x02 // cut off: ask by TCP
		binary.BigEndian.PutUint16(out[6:], 0)
	}
	return out
}
