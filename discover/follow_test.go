package discover

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is a resolver that must not be used.
type refusing struct{}

func (refusing) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("asked")
}

func (refusing) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("asked")
}

// script answers each lookup with its next line: addresses, "empty", "fail" or "hang"; the last
// line for ever.
type script struct {
	refusing
	lines []string
	at    int
}

func (s *script) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	line := s.lines[min(s.at, len(s.lines)-1)]
	s.at++
	switch line {
	case "empty":
		return nil, nil
	case "fail":
		return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var all []netip.Addr
	for word := range strings.FieldsSeq(line) {
		all = append(all, netip.MustParseAddr(word))
	}
	return all, nil
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		stats := new(Stats)
		resolver := &script{lines: []string{
			"fail", "empty", "10.0.0.2 10.0.0.1", "10.0.0.1 10.0.0.2", "fail", "fail", "empty", "hang",
			"10.0.0.2 10.0.0.1", "10.0.0.3", "fail", "10.0.0.4",
		}}
		var seen []string
		ended := make(chan error)
		go func() {
			ended <- Follow(ctx, Options{
				Name: "dns:cache.test:11211", Network: "ip4", Interval: time.Minute, Timeout: time.Second,
				Resolver: resolver, Stats: stats,
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
			}, func(members []Member) {
				seen = append(seen, addresses(members))
				members[0] = Member{} // the callee may keep the list, and change it
			})
		}()
		time.Sleep(20 * time.Minute) // of the bubble: all lines, and the last some more times
		stop()
		if err := <-ended; err != nil {
			t.Errorf("got %v; want nil", err)
		}
		if want := []string{"10.0.0.1:11211 10.0.0.2:11211", "10.0.0.3:11211", "10.0.0.4:11211"}; !reflect.DeepEqual(seen,
			want) {
			t.Errorf("got the changes %q; want %q", seen, want)
		}
		if stats.Lookups() != int64(resolver.at) || stats.Failures() != 7 || stats.Members() != 1 {
			t.Errorf("got %d lookups, %d failures, %d members; want %d, 7, 1",
				stats.Lookups(), stats.Failures(), stats.Members(), resolver.at)
		}
		if resolver.at <= len(resolver.lines) {
			t.Errorf("got %d lookups; want more than %d", resolver.at, len(resolver.lines))
		}
		const name, failed = " name=dns:cache.test:11211", "the members stay as they are until it succeeds"
		want := `level=WARN msg="lookup failed; ` + failed + `"` + name + ` members=0 err="dns:cache.test:11211: lookup : server misbehaving"
level=INFO msg="lookup succeeds again"` + name + ` members=2
level=INFO msg="members changed"` + name + ` members=2 before=0
level=WARN msg="lookup failed; ` + failed + `"` + name + ` members=2 err="dns:cache.test:11211: lookup : server misbehaving"
level=INFO msg="lookup succeeds again"` + name + ` members=2
level=INFO msg="members changed"` + name + ` members=1 before=2
level=WARN msg="lookup failed; ` + failed + `"` + name + ` members=1 err="dns:cache.test:11211: lookup : server misbehaving"
level=INFO msg="lookup succeeds again"` + name + ` members=1
level=INFO msg="members changed"` + name + ` members=1 before=1
`
		if log.String() != want {
			t.Errorf("got the log\n%s\nwant\n%s", log.String(), want)
		}
	})
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func addresses(members []Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Address)
	}
	return strings.Join(all, " ")
}

// TestFollowEnds ends the context while a lookup hangs, which doesn't count as a failure.
func TestFollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		var log bytes.Buffer
		go func() {
			ended <- Follow(ctx, Options{Name: "dns:cache.test:11211", Resolver: &script{lines: []string{"hang"}},
				Log: slog.New(slog.NewTextHandler(&log, nil))}, func([]Member) { t.Error("got a change; want none") })
		}()
		synctest.Wait()
		stop()
		if err := <-ended; err != nil || log.Len() != 0 {
			t.Errorf("got %v and the log %q; want neither", err, log.String())
		}
	})
}

// TestFollowDNS follows a name over the network: its records change, it is removed, it returns.
func TestFollowDNS(t *testing.T) {
	s := startDNS(t)
	s.set("cache.test.", address("10.0.0.1"))
	stats := new(Stats)
	changes := make(chan string)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- Follow(ctx, Options{Name: "dns:cache.test.:11211", Interval: time.Millisecond, Timeout: time.Minute,
			Resolver: s.resolver(), Stats: stats},
			func(members []Member) { changes <- addresses(members) })
	}()
	want := func(want string) {
		t.Helper()
		if got := <-changes; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
	want("10.0.0.1:11211")
	s.set("cache.test.", address("fd00::1"), address("10.0.0.1"))
	want("10.0.0.1:11211 [fd00::1]:11211")
	s.unset("cache.test.")
	for failures := stats.Failures(); stats.Failures() < failures+3; {
		select {
		case got := <-changes:
			t.Errorf("got %q; want no change without a record", got)
		case <-time.After(time.Millisecond):
		}
	}
	s.set("cache.test.", address("10.0.0.2"))
	want("10.0.0.2:11211")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got %v; want nil", err)
	}
}
