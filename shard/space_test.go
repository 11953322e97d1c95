package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A spaceModel is a space on a disk of which commits and other programs take and give, at random.
// It knows how many bytes are free; the space must find out.
type spaceModel struct {
	t     *testing.T
	rng   *rand.Rand
	fs    *smallFS
	clock *clock
	space *space
}

const modelReserve = 1 << 20

// TestSpaceModel checks after each step what the reserve and the ballast promise.
func TestSpaceModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &spaceModel{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: &smallFS{FS: vfs.NewMem()}, clock: newClock()}
			m.fs.size.Store(4 * modelReserve)
			if err := m.fs.MkdirAll("/data", 0o700); err != nil {
				t.Fatal(err)
			}
			m.space = newSpace(m.fs, "/data", modelReserve, m.clock.read, discard())
			for range 400 {
				m.step()
				m.checkBallast()
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (m *spaceModel) step() {
	switch p := m.rng.IntN(100); {
	case p < 60:
		m.commit(m.rng.IntN(200 << 10))
	case p < 75:
		m.removal(m.rng.IntN(64 << 10))
	case p < 90:
		m.others()
	case p < 95:
		free := m.fs.free()
		bytes := m.rng.Int64N(2 * modelReserve)
		if m.space.affords(bytes) && free-bytes < modelReserve {
			m.t.Errorf("%d bytes are free: got %d preallocated of them; want the reserve left alone", free, bytes)
		}
	default:
		m.space.release() // Pebble's log has found the disk full
		if !m.space.full.Load() {
			m.t.Error("got commits taken after the log has found the disk full")
		}
	}
}

// others has other programs take or give space. The next look at the disk is due then: what they do
// before it can't be known.
func (m *spaceModel) others() {
	free := m.fs.free()
	if m.rng.IntN(2) == 0 {
		m.fs.other.Add(m.rng.Int64N(max(1, free)))
	} else {
		m.fs.other.Add(-m.rng.Int64N(max(1, m.fs.other.Load()+1)))
	}
	m.clock.advance(lookInterval)
}

// commit leaves the reserve free, or is refused for a reason: an eighth more must be free once
// commits were refused, and the ballast must be there or made.
func (m *spaceModel) commit(bytes int) {
	free, full, counted := m.fs.free(), m.space.full.Load(), int64(max(bytes, commitAtLeast))
	hadBallast := m.hasBallast()
	err := m.space.admit(bytes)
	if err != nil {
		if most := counted + modelReserve + modelReserve/recoverShare + modelReserve/ballastShare; free >= most {
			m.t.Errorf("%d bytes are free: got %v; want a commit of %d bytes taken", free, err, bytes)
		}
		if !errors.Is(err, holdfast.Full) {
			m.t.Errorf("got %v; want full", err)
		}
		return
	}
	m.fs.other.Add(int64(bytes))
	if left := m.fs.free(); left < modelReserve {
		m.t.Errorf("%d bytes were free: got %d left by a commit of %d bytes; want the reserve, %d", free, left, bytes,
			modelReserve)
	}
	if full && free-counted < modelReserve+modelReserve/recoverShare {
		m.t.Errorf("%d bytes are free: got a commit taken again; want an eighth more than the reserve free", free)
	}
	if !hadBallast && free-counted < modelReserve+modelReserve/ballastShare {
		m.t.Errorf("%d bytes are free: got a commit taken without space for the ballast", free)
	}
	if !m.hasBallast() {
		m.t.Error("got a commit taken without ballast")
	}
}

// removal may use all but the last bytes, and the ballast's.
func (m *spaceModel) removal(bytes int) {
	free := m.fs.free()
	if m.hasBallast() {
		free += modelReserve / ballastShare
	}
	last, counted := int64(min(modelReserve/recoverShare, lastBytes)), int64(max(bytes, commitAtLeast))
	err := m.space.admitRemoval(bytes)
	if (err == nil) != (free >= counted+last) {
		m.t.Errorf("%d bytes are free with the ballast: got %v; want a removal of %d bytes taken only if %d more are", free,
			err, bytes, last)
	}
	if err != nil {
		return
	}
	m.fs.other.Add(int64(bytes))
	if left := m.fs.free(); left < last {
		m.t.Errorf("got %d bytes left by a removal; want the last %d", left, last)
	}
	if m.rng.IntN(2) == 0 { // it may be long until it frees something
		m.fs.other.Add(-m.rng.Int64N(max(1, m.fs.other.Load()+1)))
	}
}

func (m *spaceModel) hasBallast() bool {
	_, err := m.fs.Stat("/data/" + ballastName)
	return err == nil
}

func (m *spaceModel) checkBallast() {
	there := m.hasBallast()
	if there != m.space.ballast {
		m.t.Errorf("got ballast %t; want %t, as the disk has it", m.space.ballast, there)
	}
	if !there && !m.space.full.Load() {
		m.t.Error("got commits taken without ballast")
	}
}
