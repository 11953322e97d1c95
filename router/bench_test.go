package router

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"holdfast/mc"
	"holdfast/route"
)

// A client of a benchmark: one batch on one loop, which begins again when it is done.
type benchClient struct {
	r       *running
	decoder mc.Decoder
	input   []byte
	batch   *mc.Batch
	left    int
	done    chan struct{}
}

// serve gives the batch once more. It runs on the loop.
func (c *benchClient) serve() {
	c.batch.Reset()
	if _, err := c.decoder.Decode(c.input, c.batch); err != nil {
		panic(err)
	}
	c.r.Serve(c.batch)
}

// again follows on Done, which comes with the lane locked.
func (c *benchClient) again(*mc.Batch) {
	if c.left--; c.left > 0 {
		c.r.loops[0].Post(c.serve)
		return
	}
	close(c.done)
}

// What 16 clients of one loop get through the router from three caches in this process.
func BenchmarkServe(b *testing.B) {
	multiget := "get"
	for i := range 32 {
		multiget += fmt.Sprintf(" key%d", i)
	}
	for _, kind := range []route.PoolKind{route.Sharded, route.Replicated} {
		for _, test := range []struct {
			name, input string
			keys        int
		}{
			{"get", "get OWN\r\n", 1},
			{"pipeline32", strings.Repeat("get OWN\r\nget key8\r\n", 16), 32},
			{"multiget32", multiget + "\r\n", 32},
			{"set", "set OWN 0 0 1\r\n1\r\n", 1},
		} {
			b.Run(fmt.Sprintf("%s/%s", kind, test.name), func(b *testing.B) { benchServe(b, kind, test.input, test.keys) })
		}
	}
}

// benchServe has each client send input, in which OWN is a key of its own.
func benchServe(b *testing.B, kind route.PoolKind, input string, keys int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5)) // four loops, and one for the rest: see package loop
	o := onePool(startCache(b).address(), startCache(b).address(), startCache(b).address())
	o.Pools[0].Kind = kind
	r := run(b, o, 1)
	value := strings.Repeat("v", 100)
	for i := range 32 {
		r.ask(0, fmt.Sprintf("set key%d 0 0 100\r\n%s\r\n", i, value))
	}
	const clients = 16
	var all []*benchClient
	for i := range clients {
		own := strings.ReplaceAll(input, "OWN", fmt.Sprintf("key%d", i))
		c := &benchClient{r: r, input: []byte(own), left: b.N/keys/clients + 1, done: make(chan struct{})}
		c.batch = mc.NewBatch(c.again)
		c.batch.OnLoop = true
		all = append(all, c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, c := range all {
		r.loops[0].Post(c.serve)
	}
	for _, c := range all {
		<-c.done
	}
}
