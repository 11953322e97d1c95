package discover

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLookupAddresses(t *testing.T) {
	s := startDNS(t)
	s.set("cache.test.", address("10.0.0.3"), address("fd00::1"), address("10.0.0.1"), address("10.0.0.3"))
	for network, want := range map[string][]Member{
		"": {{"10.0.0.1:11211", "cache.test", 1}, {"10.0.0.3:11211", "cache.test", 1}, {"[fd00::1]:11211", "cache.test",
			1}},
		"ip4": {{"10.0.0.1:11211", "cache.test", 1}, {"10.0.0.3:11211", "cache.test", 1}},
		"ip6": {{"[fd00::1]:11211", "cache.test", 1}},
	} {
		got, err := Lookup(t.Context(), Options{Name: "dns:cache.test.:11211", Network: network, Resolver: s.resolver()})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("network %q: got %v, %v; want %v", network, got, err, want)
		}
	}
}

func TestLookupServices(t *testing.T) {
	s := startDNS(t)
	s.set("a.test.", address("10.0.0.1"))
	s.set("b.test.", address("10.0.0.2"), address("fd00::2"))
	s.set("spare.test.", address("10.0.0.9"))
	for _, test := range []struct {
		what    string
		records []record
		want    []Member
	}{
		{"weights, a target with two addresses",
			[]record{service(10, 50, 11212, "b.test."), service(10, 0, 11211, "a.test.")},
			[]Member{{"10.0.0.1:11211", "a.test", 1}, {"10.0.0.2:11212", "b.test", 50}, {"[fd00::2]:11212", "b.test", 50}}},
		{"only the lowest priority",
			[]record{service(20, 50, 11211, "spare.test."), service(10, 7, 11211, "a.test.")},
			[]Member{{"10.0.0.1:11211", "a.test", 7}}},
		{"two ports of one target",
			[]record{service(0, 1, 11212, "a.test."), service(0, 2, 11211, "a.test.")},
			[]Member{{"10.0.0.1:11211", "a.test", 2}, {"10.0.0.1:11212", "a.test", 1}}},
		{"the same twice",
			[]record{service(0, 1, 11211, "a.test."), service(0, 2, 11211, "a.test.")},
			[]Member{{"10.0.0.1:11211", "a.test", 2}}},
		{"a target that is not there",
			[]record{service(0, 1, 11211, "gone.test."), service(0, 1, 11211, "a.test.")},
			[]Member{{"10.0.0.1:11211", "a.test", 1}}},
		{"none but ones that are not there", []record{service(0, 1, 11211, "gone.test.")}, nil},
		{"the service is not available", []record{service(0, 0, 0, ".")}, nil},
	} {
		s.set("_memcache._tcp.test.", test.records...)
		got, err := Lookup(t.Context(), Options{Name: "srv:_memcache._tcp.test.", Resolver: s.resolver()})
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%s: got %v, %v; want %v", test.what, got, err, test.want)
		}
	}
}

func TestLookupFails(t *testing.T) {
	s := startDNS(t)
	s.set("a.test.", address("10.0.0.1"), address("fd00::1"), record{kind: typeSRV, data: []byte("short")})
	s.set("empty.test.")
	s.set("services.test.", service(0, 1, 1, "a.test."))
	for _, test := range []struct {
		what, name string
		prepare    func()
		want       string
	}{
		{"no such name", "dns:none.test.:1", func() {}, "no records"},
		{"no such service", "srv:none.test.", func() {}, "no records"},
		{"no records", "dns:empty.test.:1", func() {}, "no records"},
		{"no services", "srv:empty.test.", func() {}, "no records"},
		{"server failure", "dns:a.test.:1", func() { s.fail(typeA) }, "server misbehaving"},
		{"one network fails", "dns:a.test.:1", func() { s.fail(typeAAAA) }, "server misbehaving"},
		{"a target fails", "srv:services.test.", func() { s.fail(typeA) }, "server misbehaving"},
		{"services fail", "srv:services.test.", func() { s.fail(typeSRV) }, "server misbehaving"},
		{"garbage", "srv:a.test.", func() {}, "a.test"},
		{"silence", "dns:a.test.:1", func() { s.hush(typeA, typeAAAA) }, "no answer within 50ms"},
		{"one network is silent", "dns:a.test.:1", func() { s.hush(typeAAAA) }, "no answer within 50ms"},
		{"a target is silent", "srv:services.test.", func() { s.hush(typeA) }, "no answer within 50ms"},
	} {
		s.fail()
		s.hush()
		test.prepare()
		stats := new(Stats)
		got, err := Lookup(t.Context(), Options{Name: test.name, Resolver: s.resolver(), Stats: stats,
			Timeout: timeoutIf(strings.Contains(test.want, "within"))})
		if err == nil || got != nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(),
			test.name+": ") {
			t.Errorf("%s: got %v, %v; want an error with %q", test.what, got, err, test.want)
		}
		if errors.Is(err, ErrEmpty) != (test.want == "no records") {
			t.Errorf("%s: got %v; want ErrEmpty only for no records", test.what, err)
		}
		if stats.Lookups() != 1 || stats.Failures() != 1 {
			t.Errorf("%s: got %d lookups, %d failures; want 1, 1", test.what, stats.Lookups(), stats.Failures())
		}
	}
}

// timeoutIf returns a time-out that is short if it is expected to pass, and long if it must not.
func timeoutIf(passes bool) time.Duration {
	if passes {
		return 50 * time.Millisecond
	}
	return time.Minute
}

// TestLookupMany has answers too large for UDP, with as many records as the limit and with one
// more.
func TestLookupMany(t *testing.T) {
	s := startDNS(t)
	var addresses, services []record
	for i := range MaxMembers + 1 {
		addresses = append(addresses, address(fmt.Sprintf("10.0.%d.%d", i/256, i%256)))
		services = append(services, service(0, 1, uint16(1+i), "many.test."))
	}
	for _, name := range []string{"dns:many.test.:11211", "srv:services.test."} {
		s.set("many.test.", addresses[:MaxMembers]...)
		if name[:3] == "srv" {
			s.set("many.test.", addresses[0])
		}
		s.set("services.test.", services[:MaxMembers]...)
		got, err := Lookup(t.Context(), Options{Name: name, Resolver: s.resolver(), Timeout: time.Minute})
		if err != nil || len(got) != MaxMembers {
			t.Errorf("%s: got %d, %v; want %d", name, len(got), err, MaxMembers)
		}
		s.set("many.test.", addresses...)
		s.set("services.test.", services...)
		got, err = Lookup(t.Context(), Options{Name: name, Resolver: s.resolver(), Timeout: time.Minute})
		if !errors.Is(err, ErrTooMany) || got != nil {
			t.Errorf("%s: got %d, %v; want ErrTooMany", name, len(got), err)
		}
	}
	if s.byTCP == 0 {
		t.Error("got no question by TCP; want some")
	}
}

// TestLookupManyTargets resolves a thousand targets, each with its own address.
func TestLookupManyTargets(t *testing.T) {
	s := startDNS(t)
	var services []record
	for i := range 1000 {
		target := fmt.Sprintf("m%d.test.", i)
		services = append(services, service(0, uint16(i), 11211, target))
		s.set(target, address(fmt.Sprintf("10.0.%d.%d", i/256, i%256)))
	}
	s.set("services.test.", services...)
	got, err := Lookup(t.Context(), Options{Name: "srv:services.test.", Resolver: s.resolver(), Timeout: time.Minute})
	if err != nil || len(got) != 1000 {
		t.Fatalf("got %d, %v; want 1000", len(got), err)
	}
	if want := (Member{"10.0.0.7:11211", "m7.test", 7}); got[indexOf(got, want.Address)] != want {
		t.Errorf("got %v; want %v", got[indexOf(got, want.Address)], want)
	}
}

func indexOf(members []Member, address string) int {
	for i, m := range members {
		if m.Address == address {
			return i
		}
	}
	return 0
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"dns:cache.example.com:11211":          "",
		"dns:cache:1":                          "",
		"srv:_memcache._tcp.cache.example.com": "",
		"":                                     "want dns:NAME:PORT or srv:NAME",
		"cache:11211":                          "want dns:NAME:PORT or srv:NAME",
		"dns:":                                 "no port",
		"dns:cache":                            "no port",
		"dns::11211":                           "no name",
		"dns:cache:0":                          `port "0"`,
		"dns:cache:65536":                      `port "65536"`,
		"dns:cache:memcache":                   `port "memcache"`,
		"dns:10.0.0.1:11211":                   "an address already",
		"dns:[::1]:11211":                      "not a DNS name",
		"dns:a b:1":                            "not a DNS name",
		"srv:":                                 "no name",
		"srv:a.test:11211":                     "service records have the port",
		"srv:" + strings.Repeat("a.", 128):     "a name of 256 bytes",
	} {
		_, err := parse(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", name, err, want)
		}
		_, err = Lookup(t.Context(), Options{Name: name, Resolver: refusing{}})
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("lookup of %q: got %v; want %q", name, err, want)
		}
	}
	if !Is("dns:a:1") || !Is("srv:a") || Is("unix:/a") || Is("dnsname:11211") {
		t.Error("Is takes dns: and srv: only")
	}
	for _, o := range []Options{{Name: "srv:a", Network: "tcp"}, {Name: "srv:a", Interval: -1}, {Name: "srv:a",
		Timeout: -1}} {
		if err := Follow(t.Context(), o, nil); err == nil {
			t.Errorf("%+v: got no error; want one", o)
		}
	}
}

var _ Resolver = (*net.Resolver)(nil)
