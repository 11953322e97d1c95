package router

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// scripted runs a router before an upstream that answers each line with what answer returns for it.
func scripted(t *testing.T, o route.Options, answer func(line string) string) *running {
	t.Helper()
	address := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if words := strings.Fields(line); words[0] == "set" || words[0] == "ms" {
				in.ReadString('\n')
			}
			conn.Write([]byte(answer(strings.TrimRight(line, "\r\n"))))
		}
	})
	o.Pools = append(o.Pools, route.Pool{Name: "m", Members: []route.Member{{Address: address}}})
	return run(t, o, 1)
}

// A word without a text is an answer as well: the connection stays, and the result is what it says.
func TestErrorsWithoutAText(t *testing.T) {
	for word, result := range map[string]string{"SERVER_ERROR": "server_error", "CLIENT_ERROR": "client_error"} {
		r := scripted(t, route.Options{}, func(string) string { return word + "\r\n" })
		for _, request := range []string{"get k\r\n", "set k 0 0 1\r\nx\r\n", "delete k\r\n", "mg k v\r\n",
			"ms k 1\r\nx\r\n"} {
			r.want(0, request, word+"\r\n")
		}
		m := r.Pools()[0].Members[0]
		if m.Results[result] < 5 || m.Connects != 1 {
			t.Errorf("%s: got %v and %d connections; want it counted as %s on one connection", word, m.Results, m.Connects,
				result)
		}
	}
}

func TestFailoverAfterErrorsWithoutAText(t *testing.T) {
	for word, want := range map[string]string{"SERVER_ERROR": "END\r\n", "CLIENT_ERROR": "CLIENT_ERROR\r\n"} {
		r := scripted(t, route.Options{Route: route.Route{
			Kind: route.KindFailover, Children: []route.Route{to("m"), {Kind: route.KindNull}},
			Failover: route.FailoverPolicy{Reads: []string{"server_error"}},
		}}, func(string) string { return word + "\r\n" })
		r.want(0, "get k\r\n", want)
	}
}

// A member that says that it is busy is one for a policy.
func TestFailoverAfterABusyMember(t *testing.T) {
	for errors, want := range map[string]string{"busy": "END\r\n", "server_error": "SERVER_ERROR 307 busy\r\n"} {
		r := scripted(t, route.Options{Route: route.Route{
			Kind: route.KindFailover, Children: []route.Route{to("m"), {Kind: route.KindNull}},
			Failover: route.FailoverPolicy{Reads: []string{errors}},
		}}, func(string) string { return "SERVER_ERROR 307 busy\r\n" })
		r.want(0, "get k\r\n", want)
	}
}

// An opaque or a key that the client didn't send belongs to another request, and so does the
// answer.
func TestStrayOpaqueIsNotPassedOn(t *testing.T) {
	for _, test := range []struct{ request, answer, want string }{
		{"mg k v\r\n", "VA 1 O123\r\nx\r\n", ""},
		{"mg k v\r\n", "VA 1 f0 O123\r\nx\r\n", ""},
		{"mg k v O12\r\n", "VA 1 O123\r\nx\r\n", ""},
		{"mg k t\r\n", "HD t-1 O1\r\n", ""},
		{"ms k 1\r\nx\r\n", "HD O1\r\n", ""},
		{"ms k 1 O2\r\nx\r\n", "NS O1\r\n", ""},
		{"md k\r\n", "NF O1\r\n", ""},
		{"ma k\r\n", "EX O1\r\n", ""},
		{"mg k\r\n", "EN O1\r\n", ""},
		{"mg k v k\r\n", "VA 1 kother\r\nx\r\n", ""},
		{"mg k v\r\n", "VA 1 kk\r\nx\r\n", ""},
		{"mg k v O123 k\r\n", "VA 1 O123 kk\r\nx\r\n", "VA 1 O123 kk\r\nx\r\n"},
		{"mg k O123\r\n", "EN\r\n", "EN\r\n"},
		{"md k O1\r\n", "NF O1\r\n", "NF O1\r\n"},
		{"mg k v k\r\n", "VA 1 kaw== b\r\nx\r\n", "VA 1 kaw== b\r\nx\r\n"},
		{"mg aw== b v k\r\n", "VA 1 kbw== b\r\nx\r\n", ""},
		{"mg aw== b v k\r\n", "VA 1 kaw== b\r\nx\r\n", "VA 1 kaw== b\r\nx\r\n"},
	} {
		r := scripted(t, route.Options{}, func(string) string { return test.answer })
		got := r.ask(0, test.request)
		if test.want == "" {
			if !strings.HasPrefix(got, "SERVER_ERROR ") {
				t.Errorf("%q answered %q: got %q; want an error", test.request, test.answer, got)
			}
			continue
		}
		if got != test.want {
			t.Errorf("%q answered %q: got %q; want %q", test.request, test.answer, got, test.want)
		}
	}
}

// While L1 can't be asked, L2 answers all reads.
func TestL2AnswersForL1(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindL1L2Cache, Cold: ptr(to("l1")), Warm: ptr(to("l2")), Exptime: 1}, "l1",
		"l2")
	r.stubs["l2"].do(t, set("k", "v"))
	for _, result := range []upstream.Result{upstream.Down, upstream.Timeout, upstream.ServerError} {
		r.stubs["l1"].failing(result)
		r.want("get k\r\ngat 10 k\r\nmg k v\r\nmg k v t\r\n",
			value("k", "v")+value("k", "v")+"VA 1\r\nv\r\nVA 1 t10\r\nv\r\n")
		got := r.ask(0, "gets k\r\n")
		if again := r.ask(0, "gats 0 k\r\n"); !strings.HasPrefix(got, "VALUE k 0 1 ") ||
			!strings.HasPrefix(again, "VALUE k 0 1 ") {
			t.Errorf("got %q and %q; want L2's item and its CAS", got, again)
		}
		r.want("get none\r\ngets none\r\nmg none v\r\n", "END\r\nEND\r\nEN\r\n")
	}
	r.stubs["l2"].failing(upstream.Timeout)
	r.want("gets k\r\n", failure("l1"))
}

// A warm pool without meta commands is asked by get, by all requests that found that out at once
// too.
func TestWarmPoolWithoutMetaCommands(t *testing.T) {
	for _, refusal := range []string{"ERROR", "CLIENT_ERROR malformed request", "SERVER_ERROR Command not supported"} {
		r := scripted(t, route.Options{
			Pools: []route.Pool{{Name: "cold", Members: []route.Member{{Address: "127.0.0.1:1", Name: "cold"}}}},
			Route: route.Route{Kind: route.KindWarmUp, Cold: ptr(to("cold")), Warm: ptr(to("m"))},
		}, func(line string) string {
			if words := strings.Fields(line); words[0] == "get" {
				answer := ""
				for _, key := range words[1:] {
					answer += "VALUE " + key + " 0 1\r\nw\r\n"
				}
				return answer + mc.End
			}
			return refusal + "\r\n"
		})
		r.tree.Load().pools[0].members[0].route = newStub(t, r, "cold")
		r.want(0, "get a b c\r\n", "VALUE a 0 1\r\nw\r\nVALUE b 0 1\r\nw\r\nVALUE c 0 1\r\nw\r\nEND\r\n")
		r.want(0, "get d\r\n", value("d", "w"))
	}
}
