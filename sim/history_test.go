package sim

import (
	"math"
	"strings"
	"testing"
	"time"
)

// What may become of one register, and what may not.
func TestHistories(t *testing.T) {
	op := func(began, ended int64, o operation) *operation {
		o.key, o.began, o.ended = "r", began, ended
		return &o
	}
	const ever = math.MaxInt64
	written := func(began, ended int64, value, found int) *operation {
		return op(began, ended, operation{action: put, value: value, outcome: done, found: found})
	}
	read := func(began, ended int64, found int) *operation {
		return op(began, ended, operation{action: get, outcome: done, found: found})
	}
	for _, test := range []struct {
		name string
		all  []*operation
		want bool
	}{
		{"a read of what was written", []*operation{written(1, 2, 5, 0), read(3, 4, 5)}, true},
		{"a stale read", []*operation{written(1, 2, 5, 0), written(3, 4, 6, 5), read(5, 6, 5)}, false},
		{"a read beside a write may be of before or after", []*operation{
			written(1, 5, 7, 0), read(2, 3, 0), read(2, 4, 7),
		}, true},
		{"but not of after and then of before", []*operation{written(1, 9, 7, 0), read(2, 3, 7), read(4, 5, 0)}, false},
		{"a write that didn't find the one before", []*operation{written(1, 2, 5, 0), written(3, 4, 6, 0)}, false},
		{"a refused write that was read", []*operation{
			op(1, 2, operation{action: put, value: 5, outcome: refused}), read(3, 4, 5),
		}, false},
		{"an unknown write that happens late", []*operation{
			op(1, ever, operation{action: put, value: 5}), read(2, 3, 0), read(4, 5, 5),
		}, true},
		{"or never", []*operation{op(1, ever, operation{action: put, value: 5}), read(2, 3, 0)}, true},
		{"but not twice", []*operation{
			op(1, ever, operation{action: put, value: 5}), read(2, 3, 5), written(4, 5, 6, 5), read(6, 7, 5),
		}, false},
		{"nor before it began", []*operation{read(1, 2, 5), op(3, ever, operation{action: put, value: 5})}, false},
		{"a swap that found what it expected", []*operation{
			written(1, 2, 5, 0), op(3, 4, operation{action: swap, expected: 5, value: 6, outcome: done, found: 5}),
			read(5, 6, 6),
		}, true},
		{"one that was done and found something else", []*operation{
			written(1, 2, 5, 0), op(3, 4, operation{action: swap, expected: 4, value: 6, outcome: done, found: 5}),
		}, false},
		{"one that failed, and reads", []*operation{
			written(1, 2, 5, 0), op(3, 4, operation{action: swap, expected: 4, value: 6, outcome: failed, found: 5}),
			read(5, 6, 5),
		}, true},
		{"one that failed with a stale value", []*operation{
			written(1, 2, 5, 0), written(3, 4, 6, 5),
			op(5, 6, operation{action: swap, expected: 4, value: 7, outcome: failed, found: 5}),
		}, false},
		{"an unknown swap that can't have happened", []*operation{
			written(1, 2, 5, 0), op(3, ever, operation{action: swap, expected: 4, value: 6}), read(5, 6, 6),
		}, false},
		{"a write that was lost, and that nobody read", []*operation{
			op(1, 2, operation{action: put, value: 5, outcome: lost}), written(3, 4, 6, 0), read(5, 6, 6),
		}, true},
		{"one that was read before", []*operation{
			op(1, 4, operation{action: put, value: 5, outcome: lost}), read(2, 3, 5), read(5, 6, 0),
		}, false},
		{"one that decided another", []*operation{
			op(1, 4, operation{action: put, value: 5, outcome: lost}), written(2, 3, 6, 5),
		}, false},
		{"a write that is committed long after its acknowledgement", []*operation{
			written(1, 6, 5, 0), read(2, 3, 0), read(4, 5, 5),
		}, true},
		{"an unknown read", []*operation{written(1, 2, 5, 0), op(3, ever, operation{action: get, found: 3})}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			unchecked, err := (&history{all: test.all}).check(time.Minute)
			if unchecked != 0 || (err == nil) != test.want {
				t.Errorf("got %v, %d unchecked; want linearizable: %v", err, unchecked, test.want)
			}
			if last := test.all[len(test.all)-1]; err != nil && !strings.Contains(err.Error(), last.String()) {
				t.Errorf("got %v; want the operations", err)
			}
		})
	}
}

// Registers don't depend on each other.
func TestHistoriesOfSeveralRegisters(t *testing.T) {
	h := &history{}
	for _, key := range []string{"a", "b", "a", "b"} {
		o := &operation{key: key, action: put, value: len(h.all) + 1}
		h.begin(o)
		if len(h.all) > 2 {
			h.end(o, done, h.all[len(h.all)-3].value)
		} else {
			h.end(o, done, 0)
		}
	}
	if _, err := h.check(time.Minute); err != nil {
		t.Error(err)
	}
	h.all[3].found = 1
	if _, err := h.check(time.Minute); err == nil || strings.Contains(err.Error(), "put a") {
		t.Errorf("got %v; want that b is wrong, and nothing of a", err)
	}
}
