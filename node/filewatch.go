package node

import (
	"os"
	"slices"
	"time"
)

// A fileWatch detects that files have changed, by their time, size and identity: an editor writes
// into a file, a deployment renames another file over it, or changes a symbolic link.
type fileWatch struct {
	files  []string
	loaded []fileState // when they were read
	last   []fileState // at the last check
}

type fileState struct {
	info os.FileInfo // nil if there is none
	time time.Time
	size int64
}

func watchFiles(files []string) fileWatch {
	w := fileWatch{files: files}
	w.note()
	return w
}

// note records that the files are being read now.
func (w *fileWatch) note() {
	w.loaded = w.states()
	w.last = w.loaded
}

// follow replaces the files, unless there are none.
func (w *fileWatch) follow(files []string) {
	if len(files) == 0 || slices.Equal(files, w.files) {
		return
	}
	w.files = files
	w.note()
}

// changed reports whether the files differ from what was read and have not changed since the last
// check. Without the second condition, a file might be read while it is half written.
func (w *fileWatch) changed() bool {
	now := w.states()
	stable := slices.EqualFunc(now, w.last, fileState.equal)
	w.last = now
	return stable && !slices.EqualFunc(now, w.loaded, fileState.equal)
}

func (w *fileWatch) states() []fileState {
	states := make([]fileState, len(w.files))
	for i, file := range w.files {
		if info, err := os.Stat(file); err == nil {
			states[i] = fileState{info, info.ModTime(), info.Size()}
		}
	}
	return states
}

func (s fileState) equal(other fileState) bool {
	if s.info == nil || other.info == nil {
		return s.info == other.info
	}
	return s.time.Equal(other.time) && s.size == other.size && os.SameFile(s.info, other.info)
}
