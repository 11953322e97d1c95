package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/peer"
)

// A fakeEtcd is the part of etcd that bench uses, of a cluster with one node.
type fakeEtcd struct {
	mu     sync.Mutex // guards values
	values map[string]string
	any    bool // each key that was never put has a value too
	leads  bool
	locals int // ranges that the node answered from what it has
}

func (f *fakeEtcd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	message, err := grpcMessage(body)
	if err != nil || r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" ||
		r.Header.Get("Content-Type") != "application/grpc" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fields := map[int]string{}
	protoFields(message, func(field int, number uint64, content []byte) error {
		fields[field] = string(content)
		return nil
	})
	var reply []byte
	switch r.URL.Path {
	case "/etcdserverpb.KV/Put":
		f.values[fields[putKey]] = fields[putValue]
	case "/etcdserverpb.KV/Range":
		value, ok := f.values[fields[rangeKey]]
		if _, local := fields[rangeLocal]; local {
			value += "/local"
			f.locals++
		}
		if ok || f.any {
			kv := appendProtoBytes(nil, kvKey, []byte(fields[rangeKey]))
			kv = append(kv, 2<<3|protoVarint, 9, 6<<3|protoFixed8, 1, 2, 3, 4, 5, 6, 7, 8, 7<<3|protoFixed4, 1, 2, 3, 4)
			reply = appendProtoBytes([]byte{4<<3 | protoVarint, 1}, rangedKVs,
				appendProtoBytes(kv, kvValue, []byte(value)))
		}
	case "/etcdserverpb.Maintenance/Status":
		member := binary.AppendUvarint([]byte{headerMember << 3}, 1<<60)
		reply = appendProtoBytes(nil, statusHeader, member)
		if f.leads {
			reply = append(reply, binary.AppendUvarint([]byte{statusLead << 3}, 1<<60)...)
		}
	}
	answerGRPC(w, reply, "0", "")
}

// answerGRPC answers with a message, in two pieces, and with trailers.
func answerGRPC(w http.ResponseWriter, message []byte, status, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	framed = append(framed, message...)
	w.Write(framed[:3])
	w.(http.Flusher).Flush()
	w.Write(framed[3:])
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	if text != "" {
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", text)
	}
}

// serveHTTP2 serves HTTP/2 without TLS, and returns the address and how many connections were opened.
func serveHTTP2(t *testing.T, h http.Handler) (address string, opened func() int) {
	t.Helper()
	var mu sync.Mutex
	count := 0
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if state == http.StateNew {
			count++
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}

func TestEtcdClient(t *testing.T) {
	f := &fakeEtcd{values: map[string]string{}}
	address, opened := serveHTTP2(t, f)
	clients := []*etcdClient{newEtcdClient(address), newEtcdClient(address)}
	for _, c := range clients {
		defer c.close()
	}
	for _, value := range []string{"", "one", strings.Repeat("v", 300), strings.Repeat("w", 70<<10)} {
		for i, c := range clients {
			key := fmt.Appendf(nil, "key-%d-%d", len(value), i)
			if _, found, err := c.get(key, false); found || err != nil {
				t.Errorf("%s before its put: got %v, %v; want none", key, found, err)
			}
			if err := c.put(key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			if got, found, err := c.get(key, false); string(got) != value || !found || err != nil {
				t.Errorf("%s: got %.20q, %v, %v; want the %d bytes that were put", key, got, found, err, len(value))
			}
			if got, _, err := c.get(key, true); string(got) != value+"/local" || err != nil {
				t.Errorf("%s, of the node itself: got %.20q, %v; want it asked so", key, got, err)
			}
		}
	}
	for _, want := range []bool{false, true} {
		f.leads = want
		if got, err := clients[0].leads(); got != want || err != nil {
			t.Errorf("leads: got %v, %v; want %v", got, err, want)
		}
	}
	if got := opened(); got != len(clients) {
		t.Errorf("got %d connections; want one for each client", got)
	}
}

// Only eventual reads are answered by a node from what it has, and what isn't there is missing.
func TestEtcdReads(t *testing.T) {
	f := &fakeEtcd{values: map[string]string{}}
	address, _ := serveHTTP2(t, f)
	c, err := dialEtcd(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	wantError(t, "before the put", c.get(7, consistentRead), errMissing.Error())
	if err := c.put(7, 1); err != nil {
		t.Fatal(err)
	}
	if got := f.values["user-00000007"]; got != clusterValue(1) || len(got) != clusterValueBytes {
		t.Errorf("got %q; want the value of the first put", got)
	}
	for kind, want := range map[requestKind]int{consistentRead: 0, eventualRead: 1} {
		f.locals = 0
		if err := c.get(7, kind); err != nil || f.locals != want {
			t.Errorf("%v: got %d local ranges, %v; want %d", kind, f.locals, err, want)
		}
	}
}

// Whatever isn't a whole response with status 0 is an error.
func TestGRPCFaults(t *testing.T) {
	for _, test := range []struct {
		name, fault string
		answer      http.HandlerFunc
	}{
		{"status", "/etcdserverpb.KV/Put: grpc-status 14: leader changed",
			func(w http.ResponseWriter, _ *http.Request) {
				answerGRPC(w, nil, "14", "leader changed")
			}},
		{"trailers only", "grpc-status 8: too many", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "8")
			w.Header().Set("Grpc-Message", "too many")
		}},
		{"no status", "without grpc-status", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Write(make([]byte, grpcPrefixBytes))
		}},
		{"HTTP status", "HTTP status 503", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		}},
		{"not gRPC", `content type "text/plain`,
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }},
		{"compressed", "compressed message", raw([]byte{1, 0, 0, 0, 0})},
		{"cut", "a message of 2 bytes should have 3", raw([]byte{0, 0, 0, 0, 3, 8, 1})},
		{"two", "a message of 5 bytes should have 0", raw(make([]byte, 2*grpcPrefixBytes))},
		{"none", "a response of 0 bytes has no message", raw(nil)},
		{"long", "more than 4194304 bytes", raw(make([]byte, grpcMaxBytes+1))},
		{"aborted", "INTERNAL_ERROR", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Write(make([]byte, grpcPrefixBytes))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
	} {
		address, _ := serveHTTP2(t, test.answer)
		c := newEtcdClient(address)
		wantError(t, test.name, c.put([]byte("k"), []byte("v")), test.fault)
		c.close()
	}
	address, _ := serveHTTP2(t, raw([]byte{0, 0, 0, 0, 2, rangedKVs<<3 | protoLength, 5}))
	c := newEtcdClient(address)
	defer c.close()
	_, _, err := c.get([]byte("k"), false)
	wantError(t, "message", err, errProto.Error())
	kv := appendProtoBytes(nil, rangedKVs, appendProtoBytes(nil, kvKey, []byte("other")))
	address, _ = serveHTTP2(t, raw(append([]byte{0, 0, 0, 0, byte(len(kv))}, kv...)))
	c2 := newEtcdClient(address)
	defer c2.close()
	_, _, err = c2.get([]byte("k"), false)
	wantError(t, "another key", err, `got the value of key "other"`)
}

// raw answers with a body and status 0.
func raw(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Write(body)
	}
}

// Whatever bytes a message has, reading it ends, and what it visits lies within.
func FuzzProtoFields(f *testing.F) {
	f.Add([]byte{8, 1, 18, 2, 'a', 'b', 25, 1, 2, 3, 4, 5, 6, 7, 8, 37, 1, 2, 3, 4})
	f.Add([]byte{18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte{25, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		left := len(message)
		err := protoFields(message, func(_ int, _ uint64, content []byte) error {
			if left -= 1 + len(content); left < 0 {
				t.Errorf("got more than the message has: %x", message)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errProto) {
			t.Errorf("got %v; want none, or %v", err, errProto)
		}
	})
}

// A put is read back from each node of a real etcd, by either kind of read, and one node leads.
func TestEtcdItself(t *testing.T) {
	s, err := etcdSetup(peer.Find(t, "etcd"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.start(t.Context())
	if r != nil {
		defer r.stop()
	}
	if err != nil {
		t.Fatal(err)
	}
	lead, err := r.leader()
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.addresses {
		c := newEtcdClient(r.addresses[i])
		defer c.close()
		if leads, err := c.leads(); err != nil || leads != (i == lead) {
			t.Errorf("node %d: got %v, %v; want that node %d alone leads", i+1, leads, err, lead+1)
		}
		key, value := fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte(i), 'v', 0xff}, 90)
		if _, found, err := c.get(key, false); found || err != nil {
			t.Errorf("before the put: got %v, %v; want none", found, err)
		}
		if err := c.put(key, value); err != nil {
			t.Fatal(err)
		}
		other := newEtcdClient(r.addresses[(i+1)%len(r.addresses)])
		defer other.close()
		if got, _, err := other.get(key, false); err != nil || !bytes.Equal(got, value) {
			t.Errorf("got %q, %v; want %q", got, err, value)
		}
		if got, _, err := c.get(key, true); err != nil || !bytes.Equal(got, value) {
			t.Errorf("of the node itself: got %q, %v; want %q", got, err, value)
		}
		wantError(t, "an empty key", c.put(nil, value), "grpc-status 3: etcdserver: key is not provided")
	}
}
