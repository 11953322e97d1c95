package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// randomControl returns what a control file could say, with that many logs.
func randomControl(rng *rand.Rand, logs int) *control {
	c := &control{
		version: controlVersion, sequence: rng.Uint64(), at: time.Unix(0, rng.Int64()), phase: phase(1 + rng.IntN(3)),
		format: rng.Uint32(), boot: strings.Repeat("b", rng.IntN(256)),
		manifest: extent{num: rng.Uint64(), bytes: rng.Int64(), sum: rng.Uint32()},
	}
	for i := range c.id {
		c.id[i] = byte(rng.Uint32())
	}
	for range logs {
		c.logs = append(c.logs, extent{
			num: rng.Uint64(), bytes: rng.Int64(), sum: rng.Uint32(), head: head{bytes: rng.Int64(), sum: rng.Uint32()},
			closed: rng.IntN(2) == 0, reused: rng.IntN(2) == 0,
		})
	}
	return c
}

// What a control file says is read back as it was written, and nothing else is read.
func TestControlIsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		want := randomControl(rng, rng.IntN(12))
		p := want.appendTo(nil)
		got, err := decodeControl(append(p, make([]byte, rng.IntN(100))...)) // zeros follow it in the file
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		if got, err := decodeControl(p[:rng.IntN(len(p))]); err == nil {
			t.Fatalf("cut: got %+v; want an error", got)
		}
		at := rng.IntN(len(p))
		p[at] ^= 1 << rng.IntN(8)
		if got, err := decodeControl(p); err == nil {
			t.Fatalf("byte %d changed: got %+v; want an error", at, got)
		}
	}
	most := randomControl(rng, maxLogs)
	most.boot = strings.Repeat("b", 255)
	if n := len(most.appendTo(nil)); n > copyBytes {
		t.Errorf("got %d bytes for as many logs as there may be; want at most %d", n, copyBytes)
	}
}

// A control file of the first version is read, and written again in the same version until the
// directory is taken over. A directory of a later version is left alone, by a recovery too.
func TestControlOfOtherVersions(t *testing.T) {
	of := func(version uint32) []byte {
		p := randomControl(rand.New(rand.NewPCG(5, 6)), 3).appendTo(nil)
		binary.LittleEndian.PutUint32(p[8:], version)
		p = p[:len(p)-sumBytes]
		return binary.LittleEndian.AppendUint32(p, castagnoli(0, p))
	}
	first, err := decodeControl(of(1))
	if err != nil || first.version != 1 {
		t.Fatalf("got %+v, %v; want version 1", first, err)
	}
	if again, err := decodeControl(first.appendTo(nil)); err != nil || again.version != 1 {
		t.Errorf("written again: got %+v, %v; want version 1", again, err)
	}
	if _, err := decodeControl(of(0)); err == nil || errors.Is(err, errLaterVersion) {
		t.Errorf("version 0: got %v; want that there is none", err)
	}
	const words = "its format is version 3, and this program knows 2"
	if _, err := decodeControl(of(controlVersion + 1)); err == nil || err.Error() != words {
		t.Errorf("got %v; want %s", err, words)
	}
	fs := vfs.NewMem()
	o := memOptions(fs)
	if err := openStore(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, copies*copyBytes)
	copy(whole[copyBytes:], of(controlVersion+1)) // and the first copy is damaged
	writeFile(t, fs, "/data/"+controlName, whole)
	if _, err := Open(o); !errors.Is(err, holdfast.Corrupt) || !strings.Contains(err.Error(), words) {
		t.Errorf("start: got %v; want %s", err, words)
	}
	r, err := Recover(o, true, nil)
	if err != nil || !r.Unrecoverable || r.Done || len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Text, words) {
		t.Errorf("recovery: got %+v, %v; want it refused: %s", r, err, words)
	}
	if got := (&stopped{t: t, fs: fs}).read("/data/" + controlName); !bytes.Equal(got, whole) {
		t.Error("the control file was changed; want it left alone")
	}
}

// However much of a write of the control file is on disk, a start reads what was written, or what
// was there before it.
func TestTornControlFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		old, next := randomControl(rng, rng.IntN(6)), randomControl(rng, rng.IntN(6))
		old.sequence, next.sequence = 7, 8
		was, is := old.appendTo(nil), next.appendTo(nil)
		for torn := range copies {
			for n := 0; n <= len(is); n += 1 + rng.IntN(40) {
				whole := make([]byte, copies*copyBytes)
				for i := range copies {
					p := whole[i*copyBytes:]
					copy(p, was)
					switch {
					case i < torn:
						copy(p, is)
					case i == torn:
						copy(p, is[:n])
					}
				}
				fs := vfs.NewMem()
				writeFile(t, fs, controlName, whole)
				got, _, err := readControl(fs, controlName)
				if err != nil {
					t.Fatalf("copy %d has %d bytes of %d: got %v", torn, n, len(is), err)
				}
				if want := torn > 0 || n == len(is); (got.sequence == 8) != want || got.sequence != 7 && got.sequence != 8 {
					t.Errorf("copy %d has %d bytes of %d: got write %d; want 8: %t", torn, n, len(is), got.sequence, want)
				}
			}
		}
	}
}

// writeFile writes a copy of p, since under the race detector Pebble's memory file system garbles
// what it was given.
func writeFile(t *testing.T, fs vfs.FS, name string, p []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(p)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
