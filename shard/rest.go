package shard

import (
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A remainderFS shows a directory as a recovery would leave it, for reading: logs end where their
// damage begins, later logs are missing, and missing markers are there. So the remainder can be
// read before anything is changed.
type remainderFS struct {
	vfs.FS
	engine string
	ends   map[string]int64 // of logs, by path: their length; negative: they are missing
	add    []string         // names of markers that are missing
}

// rest returns the file system that shows what a recovery would leave.
func (in *inspection) rest() *remainderFS {
	r := &remainderFS{FS: in.fs, engine: in.engine, ends: map[string]int64{}, add: in.missingMarkers()}
	cut := false
	for _, l := range in.logs {
		path := in.fs.PathJoin(in.engine, logName(l.num))
		switch {
		case cut || l.damaged && l.keep == 0:
			r.ends[path] = -1
		case l.damaged:
			r.ends[path] = l.keep
		}
		cut = cut || l.damaged && !l.foreign(in)
	}
	return r
}

// tables returns the file system that shows the sorted tables, and no log.
func (in *inspection) tables() *remainderFS {
	r := &remainderFS{FS: in.fs, engine: in.engine, ends: map[string]int64{}, add: in.missingMarkers()}
	for _, name := range in.files {
		if _, ok := logNumber(name); ok {
			r.ends[in.fs.PathJoin(in.engine, name)] = -1
		}
	}
	return r
}

// openRemainder opens a directory, as a file system shows it, for reading.
func (in *inspection) openRemainder(fs *remainderFS) (*Store, error) {
	o := in.o
	o.ReadOnly, o.Log = true, discard()
	s := newStore(o)
	s.lock, s.space = in.lock, &space{}
	s.engine.fs, s.engine.space = fs, s.space
	cache := newCache(in.o.CacheBytes, in.o.MemTableBytes)
	defer cache.Unref()
	s.engine.configure(cache, o.MemTableBytes, s.lock, true)
	return s, s.engine.fault("opening", s.engine.open(in.engine, true))
}

// foreign reports whether a log isn't the store's, so that later logs don't need it.
func (l *neededLog) foreign(in *inspection) bool { return l.damaged && !l.listed && in.control != nil }

// missingMarkers returns the names of the markers that are to be created again.
func (in *inspection) missingMarkers() (names []string) {
	if _, ok := in.marker(markerFormat); !ok {
		names = append(names, markerName(markerFormat, formatVersion.String()))
	}
	if _, ok := in.marker(markerManifest); !ok && in.manifest.num > 0 {
		names = append(names, markerName(markerManifest, manifestName(in.manifest.num)))
	}
	return names
}

// List implements vfs.FS.
func (r *remainderFS) List(dir string) ([]string, error) {
	names, err := r.FS.List(dir)
	if err != nil || dir != r.engine {
		return names, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		end, is := r.ends[r.PathJoin(dir, name)]
		return is && end < 0
	})
	return append(names, r.add...), nil
}

// Open implements vfs.FS.
func (r *remainderFS) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := r.FS.Open(path, opts...)
	if end, is := r.ends[path]; is && err == nil {
		return &cutFile{File: f, left: end}, nil
	}
	return f, err
}

// Unwrap implements vfs.FS.
func (r *remainderFS) Unwrap() vfs.FS { return r.FS }

// A cutFile is a file that ends early.
type cutFile struct {
	vfs.File
	left int64
}

// Read implements vfs.File.
func (f *cutFile) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n, err := f.File.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}
