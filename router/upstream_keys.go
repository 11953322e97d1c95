package router

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/mc"
)

// A listedKey is a key and when it was read last, in Unix seconds.
type listedKey struct {
	key  string
	last int64
}

// listKeys asks the upstream for its keys, at most most, and sorts the most recently read
// first.
func (d *upstream) listKeys(ctx context.Context, most int) ([]listedKey, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	side := newSideConn(conn, d.timeout)
	if err := side.send([]byte("lru_crawler metadump all\r\n")); err != nil {
		return nil, err
	}
	var keys []listedKey
	for {
		if err := conn.SetDeadline(time.Now().Add(max(d.timeout, time.Second))); err != nil { // for the next lines
			return nil, err
		}
		read, err := side.client.ReadLine()
		line := string(read)
		switch {
		case err != nil:
			return nil, err
		case line == "END":
			slices.SortFunc(keys, func(a, b listedKey) int { return cmp.Compare(b.last, a.last) })
			return keys, nil
		case !strings.HasPrefix(line, "key="):
			return nil, fmt.Errorf("metadump was answered with %.60q", line)
		case len(keys) < most:
			if k, ok := parseListed(line); ok {
				keys = append(keys, k)
			}
		}
	}
}

// parseListed reads a line of metadump: "key=a%20b exp=-1 la=1700000000 …".
func parseListed(line string) (k listedKey, ok bool) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "key":
			k.key, err = url.PathUnescape(value)
		case "la":
			k.last, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return k, false
		}
	}
	return k, k.key != "" && len(k.key) <= mc.MaxKeyBytes
}
