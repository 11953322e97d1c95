package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A shape is a form of requesting keys that are all held: the bytes of the request, and the length
// of its answer.
type shape struct {
	name    string
	request func(keys []uint64) []byte
	answer  func(keys, valueBytes int) int
}

const keyBytes = 20

var shapes = []shape{
	{"text: multiget", textGets(true), func(n, value int) int {
		return n*(len("VALUE  0 100\r\n\r\n")+keyBytes+value) + len("END\r\n")
	}},
	{"text: pipelined", textGets(false), func(n, value int) int {
		return n * (len("VALUE  0 100\r\n\r\nEND\r\n") + keyBytes + value)
	}},
	{"binary: getkq … noop", binaryGets(0x0d, true), func(n, value int) int { return n*(24+4+keyBytes+value) + 24 }},
	{"binary: pipelined get", binaryGets(0x00, false), func(n, value int) int { return n * (24 + 4 + value) }},
}

// textGets requests the keys in one line, or in a line each.
func textGets(one bool) func([]uint64) []byte {
	return func(keys []uint64) (b []byte) {
		for i, key := range keys {
			switch {
			case i == 0:
				b = append(b, "get "...)
			case one:
				b = append(b, ' ')
			default:
				b = append(b, "\r\nget "...)
			}
			b = appendKey(b, key)
		}
		return append(b, "\r\n"...)
	}
}

// binaryGets requests each key by the opcode, with a noop behind them if the opcode is quiet.
func binaryGets(opcode byte, noop bool) func([]uint64) []byte {
	return func(keys []uint64) (b []byte) {
		for _, key := range keys {
			h := [24]byte{0: 0x80, 1: opcode}
			binary.BigEndian.PutUint16(h[2:], keyBytes)
			binary.BigEndian.PutUint32(h[8:], keyBytes)
			b = appendKey(append(b, h[:]...), key)
		}
		if noop {
			h := [24]byte{0: 0x80, 1: 0x0a}
			b = append(b, h[:]...)
		}
		return b
	}
}

// binaryGetsPart requests keys that both servers hold, from each in turn, in batches of either
// protocol.
func binaryGetsPart(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("binary", &b)
	var (
		items       = positiveFlag[uint64](f, "items", 100_000, "items held, of 20-byte keys and 100-byte values")
		batch       = positiveFlag(f, "batch", 32, "gets in one write")
		threads     = positiveFlag(f, "threads", 1, "-t of both servers")
		connections = positiveFlag(f, "connections", 16, "each with one batch at a time")
		rounds      = positiveFlag(f, "rounds", 7, "rounds of each shape and server")
		seconds     = positiveFlag[float64](f, "seconds", 1, "length of each round")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	_, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	value := bytes.Repeat([]byte("v"), 100)
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, p := range b.both(256, *threads) {
		s, err := p.start(ctx)
		if err != nil {
			return err
		}
		servers = append(servers, s)
		f, err := fill(ctx, s.address, *items, value)
		if err != nil {
			return fmt.Errorf("fill %s: %w", s.name, err)
		}
		if f.refused > 0 {
			return fmt.Errorf("fill %s: %d sets refused, the first with %q", s.name, f.refused, f.refusal)
		}
	}
	rows := [][]string{{strconv.Itoa(*batch) + " gets per write"}}
	for _, s := range servers {
		rows[0] = append(rows[0], s.name+", keys/s")
	}
	if len(servers) == 2 {
		rows[0] = append(rows[0], "ratio")
	}
	for _, sh := range shapes {
		perSecond := make([][]float64, len(servers))
		for range *rounds {
			for i, s := range servers {
				length := time.Duration(*seconds * float64(time.Second))
				n, err := askBatches(ctx, s.address, sh, *items, *batch, *connections, length)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, sh.name, err)
				}
				perSecond[i] = append(perSecond[i], n)
			}
		}
		row := []string{sh.name}
		for i := range servers {
			row = append(row, fmt.Sprintf("%.0f", middle(perSecond[i])))
		}
		if len(servers) == 2 {
			row = append(row, fmt.Sprintf("%.2f", middle(perSecond[0])/middle(perSecond[1])))
		}
		rows = append(rows, row)
	}
	table(rows)
	return nil
}

// askBatches returns how many keys per second were answered over all connections.
func askBatches(
	ctx context.Context, address string, sh shape, items uint64, batch, connections int, length time.Duration,
) (float64, error) {
	var (
		keys  atomic.Int64
		mu    sync.Mutex // guards fault
		fault error
		wg    sync.WaitGroup
	)
	start := time.Now()
	for lane := range connections {
		wg.Go(func() {
			n, err := askLane(ctx, address, sh, items, batch, uint64(lane), start.Add(length))
			keys.Add(int64(n))
			mu.Lock()
			defer mu.Unlock()
			fault = errors.Join(fault, err)
		})
	}
	wg.Wait()
	return float64(keys.Load()) / time.Since(start).Seconds(), fault
}

// askLane sends requests on one connection, one batch at a time, until the time is over.
func askLane(
	ctx context.Context, address string, sh shape, items uint64, batch int, seed uint64, until time.Time,
) (keys int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(until.Add(ioLimit))
	r := rand.New(rand.NewPCG(seed, 0))
	requests := make([][]byte, 64) // made in advance, so that the client takes little processor time
	for i := range requests {
		wanted := make([]uint64, batch)
		for j := range wanted {
			wanted[j] = r.Uint64N(items)
		}
		requests[i] = sh.request(wanted)
	}
	answer := make([]byte, sh.answer(batch, 100))
	for i := 0; time.Now().Before(until) && ctx.Err() == nil; i++ {
		if _, err := conn.Write(requests[i%len(requests)]); err != nil {
			return keys, err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return keys, err
		}
		keys += batch
	}
	return keys, nil
}
