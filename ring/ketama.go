package ring

import (
	"cmp"
	"crypto/md5" // what ketama's points are defined by, not for secrecy
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

const (
	ketamaPoints       = 160 // a member of mean weight
	ketamaPointsPerMD5 = 4
	libmemcachedPoints = 100 // without weights
)

// A continuum is ketama's circle of hashes. The first point at or after a key's hash owns the key.
type continuum struct {
	points []point // by value

	// A binary search mispredicts a branch at each step. Points are evenly spread, so only a few begin
	// with the same bits: first[b] is the first point whose value>>shift is b or more.
	first []int32
	shift int
}

// A point is a position of a member on the circle.
type point struct {
	value  uint32
	member int32
}

// ketama is twemproxy's continuum (nc_ketama.c), and that of libmemcached's weighted ketama.
func ketama(members []Member) continuum {
	total := 0
	for _, m := range members {
		total += weightOf(m)
	}
	var points []point
	for i, m := range members {
		for index := range pointsOf(weightOf(m), total, len(members)) / ketamaPointsPerMD5 {
			sum := md5.Sum(pointName(m, index))
			for part := range ketamaPointsPerMD5 {
				points = append(points, point{binary.LittleEndian.Uint32(sum[4*part:]), int32(i)})
			}
		}
	}
	return newContinuum(points)
}

// libmemcachedKetama is libmemcached's continuum (hosts.cc) without weighted ketama, which
// libmemcached enables by itself if any weight is above 1.
func libmemcachedKetama(members []Member, sum function) continuum {
	var points []point
	for i, m := range members {
		if m.Weight > 1 {
			return ketama(members)
		}
		for index := range libmemcachedPoints {
			points = append(points, point{uint32(sum.of(pointName(m, index))), int32(i)})
		}
	}
	return newContinuum(points)
}

// pointsOf returns the number of a member's points. Each step is rounded to 32 bits, as in the C
// code, which can cost a member points. The 1e-10 of the C code is lost in the rounding.
func pointsOf(weight, total, members int) int {
	share := float32(weight) / float32(total)
	hashes := float32(float32(float32(share*ketamaPoints)/ketamaPointsPerMD5) * float32(members))
	return int(math.Floor(float64(hashes))) * ketamaPointsPerMD5
}

// pointName returns the bytes that are hashed for a point.
func pointName(m Member, index int) []byte {
	return strconv.AppendInt(append([]byte(twemproxyName(m.Name)), '-'), int64(index), 10)
}

// twemproxyName returns the member's name as twemproxy and libmemcached spell it.
func twemproxyName(name string) string { return strings.TrimSuffix(name, ":11211") }

func newContinuum(points []point) continuum {
	// Of several points with one value, the one of the member that is first in the list counts, as in
	// libmemcached.
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.value, b.value) })
	width := bits.Len(uint(len(points)))
	c := continuum{points: points, shift: 32 - width, first: make([]int32, 1<<width)}
	at := 0
	for b := range c.first {
		for at < len(points) && points[at].value>>c.shift < uint32(b) {
			at++
		}
		c.first[b] = int32(at)
	}
	return c
}

// find returns the index of the point that owns the hash.
func (c *continuum) find(hash uint32) int {
	at := int(c.first[hash>>c.shift])
	for at < len(c.points) && c.points[at].value < hash {
		at++
	}
	if at == len(c.points) {
		return 0
	}
	return at
}

func (c *continuum) owner(hash uint32) int { return int(c.points[c.find(hash)].member) }

// next returns the first member that is ok, of the points from the hash on, or -1.
func (c *continuum) next(hash uint32, ok func(int) bool) int {
	from := c.find(hash)
	for _, run := range [2][]point{c.points[from:], c.points[:from]} {
		for _, p := range run {
			if ok(int(p.member)) {
				return int(p.member)
			}
		}
	}
	return -1
}
