package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/discover"
	"holdfast/route"
	"holdfast/router"
)

// A fakeDNS has one service, whose targets are all on this machine.
type fakeDNS struct {
	mu       sync.Mutex
	services []*net.SRV
	err      error
	asked    int
}

func (d *fakeDNS) LookupNetIP(_ context.Context, network, _ string) ([]netip.Addr, error) {
	if network == "ip6" {
		return nil, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (d *fakeDNS) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return "", d.services, d.err
}

// set replaces the answer, and waits until it has been given.
func (d *fakeDNS) set(t *testing.T, err error, nodes ...*Node) {
	t.Helper()
	d.mu.Lock()
	d.services, d.err = nil, err
	for i, n := range nodes {
		_, port, _ := net.SplitHostPort(addressOf(n))
		p, _ := strconv.ParseUint(port, 10, 16)
		d.services = append(d.services, &net.SRV{Target: "cache" + strconv.Itoa(i) + ".test.", Port: uint16(p), Weight: 1})
	}
	before := d.asked
	d.mu.Unlock()
	await(t, "two lookups", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.asked >= before+2
	})
}

func TestMembersByName(t *testing.T) {
	a, b := open(t, testConfig()), open(t, testConfig())
	dns := &fakeDNS{}
	o := routerOptions(poolOf("main", "srv:caches.test"))
	o.Resolver, o.NamesEvery = dns, time.Millisecond
	_, err := Open(o)
	if !errors.Is(err, discover.ErrEmpty) || !strings.Contains(err.Error(), "srv:caches.test") {
		t.Fatalf("got %v; want an error that names the name without records", err)
	}

	_, port, _ := net.SplitHostPort(addressOf(a))
	p, _ := strconv.ParseUint(port, 10, 16)
	dns.services = []*net.SRV{{Target: "cache0.test.", Port: uint16(p), Weight: 1}}
	n := openRouter(t, o)
	members := func() []router.MemberStats { return n.router.pools()[0].Members }
	if got := members(); len(got) != 1 || got[0].Address != addressOf(a) || got[0].Name != "cache0.test:"+port {
		t.Errorf("got %+v; want the first cache, by its service", got)
	}
	dns.set(t, nil, a, b)
	await(t, "two members", func() bool { return len(members()) == 2 })
	conn := dialTo(t, n.RouterAddrs()[0])
	ask(t, conn, "set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
	dns.set(t, errors.New("no answer"))
	dns.set(t, nil)
	if got := members(); len(got) != 2 {
		t.Errorf("got %d members after lookups that failed or were empty; want 2", len(got))
	}
	if _, body := get(t, n, "/metrics"); !strings.Contains(body, `holdfast_router_name_members{name="srv:caches.test"} 2`) {
		t.Error("want the name's members in the metrics")
	}
	dns.set(t, nil, b)
	await(t, "one member", func() bool { return len(members()) == 1 })
}

func TestNamesOfMembers(t *testing.T) {
	for _, test := range []struct {
		member route.Member
		found  []discover.Member
		want   []route.Member
	}{
		{ // a server that comes back with another address has the same keys
			route.Member{Address: "dns:one.test:11211"},
			[]discover.Member{{Address: "10.0.0.1:11211", Name: "one.test", Weight: 1}},
			[]route.Member{{Address: "10.0.0.1:11211", Name: "dns:one.test:11211", Weight: 1}},
		},
		{
			route.Member{Address: "dns:one.test:11211", Name: "first", Weight: 3, Near: true},
			[]discover.Member{{Address: "10.0.0.1:11211", Name: "one.test", Weight: 1}},
			[]route.Member{{Address: "10.0.0.1:11211", Name: "first", Weight: 3, Near: true}},
		},
		{
			route.Member{Address: "dns:all.test:11211", Name: "dns:all.test:11211"},
			[]discover.Member{{Address: "10.0.0.1:11211", Name: "all.test", Weight: 1}, {Address: "10.0.0.2:11211",
				Name: "all.test", Weight: 1}},
			[]route.Member{{Address: "10.0.0.1:11211", Name: "10.0.0.1:11211", Weight: 1}, {Address: "10.0.0.2:11211",
				Name: "10.0.0.2:11211", Weight: 1}},
		},
		{
			route.Member{Address: "srv:caches.test", Weight: 2},
			[]discover.Member{{Address: "10.0.0.1:7", Name: "a.test", Weight: 5}, {Address: "10.0.0.2:7", Name: "a.test",
				Weight: 5}, {Address: "10.0.0.2:8", Name: "a.test", Weight: 1}},
			[]route.Member{{Address: "10.0.0.1:7", Name: "a.test:7", Weight: 10}, {Address: "10.0.0.2:7", Name: "a.test:7#2",
				Weight: 10}, {Address: "10.0.0.2:8", Name: "a.test:8", Weight: 2}},
		},
	} {
		if got := membersOf(test.member, test.found); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v; want %+v", test.member.Address, got, test.want)
		}
	}
}
