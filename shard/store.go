package shard

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// guards is among how many latches the names in Commit.Guards are spread.
const guards = 64

// What is in a Store's directory, beside the ballast and the control file.
const (
	engineDir = "pebble" // Pebble's
	buildDir  = "build"  // sorted tables of a copy that is being made; emptied at a start
)

// A Store is the disk of a node.
type Store struct {
	db       *pebble.DB
	engine   *pebble.Options
	fs       vfs.FS // guarded
	memTable int64  // bytes
	dir      string
	readOnly bool
	lock     *pebble.Lock // of the database's directory
	ledger   *ledger      // nil while reading only
	boot     string
	log      *slog.Logger
	now      func() time.Time
	logAge   time.Duration
	logBytes int64
	fatal    func(error)

	gate      gate
	closing   chan struct{} // closed when Close begins
	broken    chan struct{} // closed when nothing can be written any more
	breakOnce sync.Once
	space     *space

	removedLogs *removedLogs
	reclaims    sync.Mutex         // held by Reclaim; taken before mu
	leftovers   []holdfast.ShardID // that Reclaim compacts next; guarded by reclaims
	records     line               // the order of the commits that change records; its indexes aren't on disk
	guards      [guards]sync.Mutex // taken before all other locks, in order
	seed        maphash.Seed       // of the hashes of names, which never leave the process
	free        sync.Pool          // of *commit, for their memory
	builds      atomic.Uint64      // names files in buildDir

	mu      sync.Mutex                  // guards shards and dropped
	shards  map[holdfast.ShardID]*Shard // those that are open
	dropped []holdfast.ShardID          // since the last Reclaim
	trims   sync.Mutex                  // held by Trim

	commits, corrupt, stalls atomic.Uint64
}

// Open opens the store in a directory, or makes it there. The error is Corrupt if it can't be read, or isn't as it was left: it then
// names what is missing or damaged, and nothing was touched. It is Unavailable if another process has it.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{
		dir: o.Dir, readOnly: o.ReadOnly, log: o.Log, now: o.Now, logAge: o.LogAge, logBytes: o.LogBytes, fatal: o.Fatal, boot: o.Boot,
		gate: gate{idle: make(chan struct{})}, seed: maphash.MakeSeed(), closing: make(chan struct{}), broken: make(chan struct{}),
		shards: map[holdfast.ShardID]*Shard{},
	}
	dir := o.FS.PathJoin(o.Dir, engineDir)
	if o.ReadOnly || o.unreserved {
		o.ReserveBytes = 0
	}
	if !o.ReadOnly {
		if err := s.makeDir(o.FS, dir); err != nil {
			return nil, openFault(err)
		}
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		return nil, openFault(err)
	}
	s.lock = lock
	if err := s.open(o, dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// open opens the database in dir, which is this process's alone.
func (s *Store) open(o Options, dir string) error {
	var in *inspection
	if !o.ReadOnly {
		var err error
		if in, err = s.admit(o); err != nil {
			return err
		}
		if err := s.emptyBuildDir(o.FS); err != nil {
			return openFault(err)
		}
	}
	s.space = newSpace(o.FS, o.Dir, o.ReserveBytes, o.Now, o.Log)
	guarded := s.space.guarded()
	s.fs, s.removedLogs, s.memTable = guarded, &guarded.removed, o.MemTableBytes
	if err := s.space.checkStart(dir, o.MemTableBytes); err != nil {
		return err
	}
	cache := newCache(o.CacheBytes, o.MemTableBytes)
	defer cache.Unref()
	if o.ReadOnly {
		s.setEngine(cache, true)
		return s.fault("opening", s.openEngine(dir, false))
	}
	return s.openWritable(in, dir, cache)
}

// admit looks at the directory before anything in it is touched. If it is new, it gets its control file.
func (s *Store) admit(o Options) (*inspection, error) {
	in, err := inspect(o, s.lock)
	if err != nil {
		return nil, openFault(err)
	}
	if err := in.refusal(); err != nil {
		return nil, err
	}
	in.tell(s.log)
	switch in.begun {
	case begunNot:
		in.control = &control{id: newID(), phase: phaseMaking, boot: o.Boot, at: s.now()}
		return in, openFault(makeControl(o.FS, o.Dir, in.control))
	case begunBefore:
		if err := s.adoptable(in); err != nil {
			return nil, err
		}
		s.log.Info("the tables' directory is of an earlier version, and is taken over", "commits_in_logs", in.commits())
		in.control = &control{id: newID()}
	}
	return in, nil
}

// adoptable returns an error if a directory without a control file once had one: its identity is in the database.
func (s *Store) adoptable(in *inspection) error {
	r, err := in.openRest(in.rest())
	if err != nil {
		return err
	}
	_, ok, err := r.identity()
	if err = errors.Join(err, r.db.Close()); err == nil && ok {
		in.defects = append(in.defects, missingControl())
		err = in.refusal()
	}
	return err
}

// openWritable opens a database that has passed its inspection.
func (s *Store) openWritable(in *inspection, dir string, cache *pebble.Cache) error {
	is, err := in.accept()
	if err != nil {
		return openFault(err)
	}
	if in.begun == begunBefore {
		if err := makeControl(s.fs, s.dir, is); err != nil {
			return openFault(err)
		}
	}
	l, err := openLedger(s.fs, s, is)
	if err != nil {
		return openFault(err)
	}
	s.ledger, s.fs = l, &watchedFS{FS: s.fs, ledger: l}
	s.setEngine(cache, false)
	err = s.openEngine(dir, is.phase != phaseMaking)
	if err == nil {
		if err = s.identify(is.id); err != nil {
			err = errors.Join(err, s.db.Close())
		}
	}
	if err != nil {
		return errors.Join(s.fault("opening", err), l.close(false))
	}
	return openFault(l.enter(phaseRunning, uint32(s.db.FormatMajorVersion())))
}

// setEngine sets what Pebble is opened with.
func (s *Store) setEngine(cache *pebble.Cache, readOnly bool) {
	s.engine = s.pebbleOptions(s.fs, cache, readOnly)
	s.engine.Lock = s.lock
	s.engine.EnsureDefaults()
}

// openFault returns the error of a directory that can't be used.
func openFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EAGAIN):
		return holdfast.Errorf(holdfast.Unavailable, "another process uses it")
	case vfs.IsNoSpaceError(err):
		return errFull()
	}
	return holdfast.Errorf(holdfast.Unavailable, "%w", err)
}

// openEngine opens the database. A new one begins its log in Pebble's oldest format, in which what is damaged in the middle looks like the
// end, so that acknowledged commits could go unnoticed. It is opened once more to have a log in the newest. exists says that it can't be new.
func (s *Store) openEngine(dir string, exists bool) error {
	s.engine.ErrorIfNotExists = exists
	is, err := pebble.Peek(dir, s.fs)
	if err != nil {
		return err
	}
	if !s.engine.ReadOnly && (!is.Exists || is.FormatMajorVersion < formatVersion) {
		db, err := pebble.Open(dir, s.engine)
		if err != nil {
			return err
		}
		if err := db.Close(); err != nil {
			return err
		}
	}
	s.db, err = pebble.Open(dir, s.engine)
	return err
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTable
	}
	if o.LogAge == 0 {
		o.LogAge = 24 * time.Hour
	}
	if o.LogBytes == 0 {
		o.LogBytes = 8 << 30
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 256 << 20
	}
	if o.Log == nil {
		o.Log = discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fatal == nil {
		o.Fatal = exit
	}
	if o.Boot == "" {
		o.Boot = bootID()
	}
}

// makeDir makes the database's directory, and lets what is above it know of it. A directory that has something in it, but no
// database, is somebody else's.
func (s *Store) makeDir(fs vfs.FS, engine string) error {
	names, err := fs.List(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(names) > 0 && !slices.Contains(names, engineDir) && !slices.Equal(names, []string{controlPartial}) {
		if slices.Contains(names, controlName) {
			return holdfast.Errorf(holdfast.Corrupt, "the tables aren't as they were left, and nothing was touched: %s is missing", engineDir)
		}
		return fmt.Errorf("it has %s in it, and no tables: take a directory that is empty or missing", names[0])
	}
	if err := fs.MkdirAll(engine, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{s.dir, filepath.Dir(filepath.Clean(s.dir))} {
		if err := syncDir(fs, dir); err != nil {
			return err
		}
	}
	return nil
}

// emptyBuildDir removes what a copy left when the process ended.
func (s *Store) emptyBuildDir(fs vfs.FS) error {
	build := fs.PathJoin(s.dir, buildDir)
	if err := fs.RemoveAll(build); err != nil {
		return err
	}
	if err := fs.MkdirAll(build, 0o700); err != nil {
		return err
	}
	return syncDir(fs, s.dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close waits for calls under way and cursors, and closes the store. Calls that come later get Closed. It may be called
// more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	s.mu.Unlock()
	if !s.gate.shut() {
		<-s.gate.idle
		return nil
	}
	select {
	case <-s.broken: // Pebble's locks may be held for ever
		if s.ledger != nil {
			_ = s.ledger.close(false)
		}
		return errBroken()
	default:
	}
	err := s.fault("closing", s.db.Close())
	if s.ledger != nil {
		err = errors.Join(err, s.ledger.close(err == nil))
	}
	return errors.Join(err, s.lock.Close())
}

// Record returns the value of a record, which the caller may keep; !ok if there is none.
func (s *Store) Record(name string) (value []byte, ok bool, err error) {
	if err := s.gate.enter(); err != nil {
		return nil, false, err
	}
	defer s.gate.leave()
	value, ok, err = s.record(name)
	if err != nil {
		return nil, false, err
	}
	return value, ok, s.settled(context.Background(), &s.records, s.records.applied.Load())
}

// record returns the value of a record, which may not be on disk yet.
func (s *Store) record(name string) (value []byte, ok bool, err error) {
	raw, ok, err := s.read(s.db, recordKey(name))
	if err != nil || !ok {
		return nil, false, err
	}
	return []byte(raw), true, nil
}

// Records returns the records whose names begin with prefix, sorted by name.
func (s *Store) Records(prefix string) ([]Record, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	lower, upper := recordKey(prefix), behind(recordKey(prefix))
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.fault("reading records", err)
	}
	var all []Record
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break
		}
		all = append(all, Record{Name: string(it.Key()[prefixBytes:]), Value: append([]byte{}, value...)})
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, s.fault("reading records", err)
	}
	return all, s.settled(context.Background(), &s.records, s.records.applied.Load())
}

// read returns the value of a key; !ok if there is none.
func (s *Store) read(from pebble.Reader, key []byte) (value string, ok bool, err error) {
	b, closer, err := from.Get(key)
	if err == pebble.ErrNotFound {
		return "", false, nil
	}
	if err != nil {
		return "", false, s.fault("reading", err)
	}
	value = string(b)
	return value, true, s.fault("reading", closer.Close())
}

// A Get asks for one item.
type Get struct {
	Shard *Shard
	Key   item.Key
}

// GetAll returns the items as they were at one moment, nil where there is none. Of a commit that changed some of
// them it shows all or nothing.
func (s *Store) GetAll(ctx context.Context, gets []Get) ([]item.Item, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	moment := s.db.NewSnapshot()
	defer moment.Close()
	items := make([]item.Item, len(gets))
	for i, g := range gets {
		if err := ctx.Err(); err != nil {
			return nil, ended(ctx)
		}
		var err error
		if items[i], err = g.Shard.itemIn(moment, g.Key); err != nil {
			return nil, err
		}
	}
	for _, g := range gets {
		l := &g.Shard.line
		if err := s.settled(ctx, l, l.marks[stripeOf(g.Key.Hash())].Load()); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// Stats are a store's numbers. Those that count rise from its opening.
type Stats struct {
	Commits      uint64
	CorruptReads uint64
	WriteStalls  uint64
	Full         bool  // writes are refused
	FreeBytes    int64 // of the disk; 0: not known
	DiskBytes    int64 // that the store takes
	LogBytes     int64 // of all shards' changes, before compression

	WALBytes               int64  // Pebble's log
	WALWritten             uint64 // bytes, rising
	Compactions            int64
	CompactionDebtBytes    int64
	L0Files, L0Sublevels   int64
	CacheHits, CacheMisses int64
}

// Stats returns the store's numbers. It may be called after Close, and is then zero.
func (s *Store) Stats() Stats {
	if s.gate.enter() != nil {
		return Stats{}
	}
	defer s.gate.leave()
	m, room := s.db.Metrics(), s.space.room()
	st := Stats{
		Commits: s.commits.Load(), CorruptReads: s.corrupt.Load(), WriteStalls: s.stalls.Load(),
		FreeBytes: room.FreeBytes, Full: room.Full, DiskBytes: int64(m.DiskSpaceUsage()) - s.removedLogs.bytes(),
		WALBytes: int64(m.WAL.PhysicalSize), WALWritten: m.WAL.BytesWritten,
		Compactions: m.Compact.Count, CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
		L0Files: m.Levels[0].TablesCount, L0Sublevels: int64(m.Levels[0].Sublevels),
		CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
	}
	for _, sh := range s.opened() {
		st.LogBytes += sh.Counts().LogBytes
	}
	return st
}

// opened returns the shards that are open, by rising ID.
func (s *Store) opened() []*Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Shard, 0, len(s.shards))
	for _, sh := range s.shards {
		all = append(all, sh)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}
