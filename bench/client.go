package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// A client speaks memcached's classic text protocol on one connection, for one goroutine. Keys are
// numbers, printed as 20 bytes.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte // requests that flush will send
}

const ioLimit = time.Minute // for one write and its answers

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (c *client) close() error { return c.conn.Close() }

// appendKey appends "key-" and sixteen digits.
func appendKey(b []byte, key uint64) []byte {
	b = append(b, "key-0000000000000000"...)
	for at := len(b) - 1; key > 0; at-- {
		b[at] = byte('0' + key%10)
		key /= 10
	}
	return b
}

// addSet adds a set to the requests that flush sends.
func (c *client) addSet(key uint64, value []byte) {
	c.out = append(c.out, "set "...)
	c.out = appendKey(c.out, key)
	c.out = append(c.out, " 0 0 "...)
	c.out = strconv.AppendInt(c.out, int64(len(value)), 10)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, value...)
	c.out = append(c.out, "\r\n"...)
}

func (c *client) flush() error {
	c.conn.SetDeadline(time.Now().Add(ioLimit))
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// line reads a line without its end; it is valid until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// set stores one item, and reports whether the server stored it.
func (c *client) set(key uint64, value []byte) (bool, error) {
	c.addSet(key, value)
	if err := c.flush(); err != nil {
		return false, err
	}
	return c.stored()
}

// stored reads a set's answer.
func (c *client) stored() (bool, error) {
	line, err := c.line()
	return string(line) == "STORED", err
}

// get returns how many of the keys are held.
func (c *client) get(keys ...uint64) (found int, err error) {
	c.out = append(c.out, "get"...)
	for _, key := range keys {
		c.out = append(c.out, ' ')
		c.out = appendKey(c.out, key)
	}
	c.out = append(c.out, "\r\n"...)
	if err := c.flush(); err != nil {
		return 0, err
	}
	for {
		line, err := c.line()
		if err != nil {
			return found, err
		}
		if string(line) == "END" {
			return found, nil
		}
		if !bytes.HasPrefix(line, []byte("VALUE ")) {
			return found, fmt.Errorf("answer to get: %q", line)
		}
		size, err := strconv.ParseUint(string(line[bytes.LastIndexByte(line, ' ')+1:]), 10, 31)
		if err != nil {
			return found, fmt.Errorf("answer to get: %q", line)
		}
		if _, err := c.in.Discard(int(size)); err != nil {
			return found, err
		}
		if rest, err := c.line(); err != nil || len(rest) > 0 {
			return found, errors.Join(fmt.Errorf("answer to get: %q behind a value of %d bytes", rest, size), err)
		}
		found++
	}
}

// isError reports whether a line is an error, behind which a server sends nothing more.
func isError(line []byte) bool {
	return string(line) == "ERROR" || bytes.HasPrefix(line, []byte("CLIENT_ERROR ")) ||
		bytes.HasPrefix(line, []byte("SERVER_ERROR "))
}

func (c *client) version() (string, error) {
	c.out = append(c.out, "version\r\n"...)
	if err := c.flush(); err != nil {
		return "", err
	}
	line, err := c.line()
	return string(bytes.TrimPrefix(line, []byte("VERSION "))), err
}

func (c *client) stats() (map[string]string, error) {
	c.out = append(c.out, "stats\r\n"...)
	if err := c.flush(); err != nil {
		return nil, err
	}
	stats := make(map[string]string)
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		if string(line) == "END" {
			return stats, nil
		}
		if isError(line) {
			return nil, fmt.Errorf("answer to stats: %q", line)
		}
		if fields := bytes.SplitN(line, []byte(" "), 3); len(fields) == 3 {
			stats[string(fields[1])] = string(fields[2])
		}
	}
}

const (
	fillConnections = 8
	fillPipeline    = 64
)

// filled is the outcome of a fill's sets, and the first answer that was not STORED.
type filled struct {
	stored, refused int64
	refusal         string
	took            time.Duration
}

// fill sets the keys below count at full rate: pipelined, over several connections, each key once
// and about in order.
func fill(ctx context.Context, address string, count uint64, value []byte) (filled, error) {
	var (
		mu    sync.Mutex // guards what follows
		total filled
		fault error
		wg    sync.WaitGroup
	)
	start := time.Now()
	for lane := range uint64(fillConnections) {
		wg.Go(func() {
			part, err := fillLane(ctx, address, lane, count, value)
			mu.Lock()
			defer mu.Unlock()
			total.stored += part.stored
			total.refused += part.refused
			if total.refusal == "" {
				total.refusal = part.refusal
			}
			if fault == nil {
				fault = err
			}
		})
	}
	wg.Wait()
	total.took = time.Since(start)
	return total, fault
}

// fillLane sets every eighth stretch of keys, beginning with that of the lane.
func fillLane(ctx context.Context, address string, lane, count uint64, value []byte) (f filled, err error) {
	c, err := dial(address)
	if err != nil {
		return f, err
	}
	defer c.close()
	for from := lane * fillPipeline; from < count; from += fillConnections * fillPipeline {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		to := min(from+fillPipeline, count)
		for key := from; key < to; key++ {
			c.addSet(key, value)
		}
		if err := c.flush(); err != nil {
			return f, err
		}
		for range to - from {
			line, err := c.line()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return f, err
			}
			if string(line) == "STORED" {
				f.stored++
				continue
			}
			f.refused++
			if f.refusal == "" {
				f.refusal = string(line)
			}
		}
	}
	return f, nil
}
