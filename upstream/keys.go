package upstream

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

// A ListedKey is a key and when it was read last, in Unix seconds.
type ListedKey struct {
	Key  string
	Last int64
}

// ListKeys asks the upstream for its keys, at most most, and sorts the most recently read
// first.
func (d *Upstream) ListKeys(ctx context.Context, most int) ([]ListedKey, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	side := newSide(conn, d.Timeout)
	if err := side.send([]byte("lru_crawler metadump all\r\n")); err != nil {
		return nil, err
	}
	var keys []ListedKey
	for {
		if err := conn.SetDeadline(time.Now().Add(max(d.Timeout, time.Second))); err != nil { // for the next lines
			return nil, err
		}
		read, err := side.client.ReadLine()
		line := string(read)
		switch {
		case err != nil:
			return nil, err
		case line == "END":
			slices.SortFunc(keys, func(a, b ListedKey) int { return cmp.Compare(b.Last, a.Last) })
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
func parseListed(line string) (k ListedKey, ok bool) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "key":
			k.Key, err = url.PathUnescape(value)
		case "la":
			k.Last, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return k, false
		}
	}
	return k, k.Key != "" && len(k.Key) <= mc.MaxKeyBytes
}
