package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/cache"
	"holdfast/config"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/router"
	"holdfast/server"
)

// A routing is the router with its server, and what changes its pools and routes while it runs: a
// reload of the configuration, and DNS.
type routing struct {
	log     *slog.Logger
	cache   mc.Handler // for members "cache"; nil without one
	read    func() (config.Config, Source, error)
	source  Source // of the configuration at the start
	poll    time.Duration
	server  *server.Server
	backend *routerBackend
	names   *discovery

	reloads atomic.Int64 // that succeeded
	refused atomic.Int64 // that failed, and changed nothing

	mu      sync.Mutex    // guards what follows; held for all of a reload
	running config.Config // its router's listeners are in the order of mc.Batch.Entry
	watched fileWatch

	end   chan struct{} // closed by close
	ended sync.WaitGroup
}

// A routerBackend is the router as its server's backend. The server is made first, since the router
// needs its event loops; connect sets the router.
type routerBackend struct{ *router.Router }

// openRouting binds the router's addresses. The caller then calls connect and start.
func openRouting(o Options, store *cache.Store) (*routing, error) {
	p := &routing{
		log: o.Log, read: o.Read, source: o.Source, poll: o.FilesPoll, backend: &routerBackend{}, running: o.Config,
		watched: watchFiles(o.Source.Files), end: make(chan struct{}),
	}
	if p.poll == 0 {
		p.poll = time.Second
	}
	r := *o.Config.Router
	r.Listen = inEntryOrder(r.Listen)
	p.running.Router = &r
	if store != nil {
		p.cache = lanesBehind{store, threads(o.Config.Cache.Threads)}
	}
	p.names = newDiscovery(o, p.namesChanged)
	s, err := server.New(routerServerOptions(o), p.backend)
	if err != nil {
		return nil, serverError("router", err)
	}
	p.server = s
	return p, nil
}

// lanesBehind is the store as the router uses it: the router's event loops have lanes of their own,
// numbered after those of the cache's server.
type lanesBehind struct {
	store *cache.Store
	first int
}

func (s lanesBehind) Serve(b *mc.Batch) {
	b.Lane += s.first
	s.store.Serve(b)
}

// connect resolves the DNS names among the members and makes the router.
func (p *routing) connect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.optionsOf(p.running.Router)
	if err := p.names.follow(o.Pools); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if o.Journal.Name == "" {
		o.Journal.Name = p.journalName()
	}
	r, err := router.New(p.names.expand(o), router.Parts{Loops: p.server.Loops(), Cache: p.cache, Log: p.log})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	p.backend.Router = r
	p.showSource(p.source)
	return nil
}

// journalName distinguishes this router from others with the same members. It should stay the same
// when the journal directory is lost.
func (p *routing) journalName() string {
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	if listen := p.running.Router.Listen; len(listen) > 0 {
		name += " " + listen[0].Address
	}
	return name
}

// showSource sets what the router shows as the source of its options.
func (p *routing) showSource(s Source) {
	source := router.Source{Text: s.Text, Taken: time.Now()}
	if len(s.Files) > 0 {
		source.File = s.Files[0]
	}
	p.backend.SetSource(source)
}

func (p *routing) start() error {
	if err := p.server.Start(); err != nil {
		return err
	}
	if p.read != nil {
		p.ended.Go(p.watchFiles)
	}
	return nil
}

// close also works on a routing that never started.
func (p *routing) close() error {
	close(p.end)
	p.ended.Wait()
	p.names.close()
	err := shutdown(p.server)
	if p.backend.Router != nil {
		err = errors.Join(err, p.backend.Close())
	}
	return err
}

// optionsOf returns the options of r with the routes of this process's listeners. A listener that
// is no longer in r keeps its route.
func (p *routing) optionsOf(r *config.Router) route.Options {
	o := r.Options
	o.Entries = nil
	for _, l := range p.running.Router.Listen {
		made := l.Route
		if i := slices.IndexFunc(r.Listen,
			func(other config.RouterListener) bool { return other.Address == l.Address }); i >= 0 {
			made = r.Listen[i].Route
		}
		if made == nil {
			made = &route.Route{}
		}
		o.Entries = append(o.Entries, *made)
	}
	return o
}

// reload reads the configuration again and applies it to the router.
func (p *routing) reload() error {
	if p.read == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched.note()
	c, source, err := p.read()
	p.watched.follow(source.Files)
	if err == nil {
		err = p.apply(c)
	}
	if err != nil {
		p.refused.Add(1)
		return err
	}
	p.showSource(source)
	p.reloads.Add(1)
	p.log.Info("the router's pools and routes were reloaded", "pools", len(c.Router.Pools))
	return nil
}

// apply changes the router to c. p.mu is held.
func (p *routing) apply(c config.Config) error {
	if c.Router == nil {
		return errors.New("router: the section is missing from the file; only a restart removes the router")
	}
	o := p.optionsOf(c.Router)
	if err := p.names.follow(o.Pools); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := p.backend.Reload(p.names.expand(o)); err != nil {
		p.names.keep(p.running.Router.Pools)
		return fmt.Errorf("router: %w", err)
	}
	p.names.keep(o.Pools)
	if later := needsRestart(p.running, c); len(later) > 0 {
		p.log.Warn("some settings have changed that take effect at the next start", "settings", later)
	}
	r := *p.running.Router
	journal := r.Journal // opened once, at the start
	r.Options, r.Journal = c.Router.Options, journal
	r.Listen = slices.Clone(r.Listen)
	for i := range r.Listen {
		r.Listen[i].Route = &o.Entries[i]
	}
	p.running.Router = &r
	return nil
}

// namesChanged applies a change of DNS to the router.
func (p *routing) namesChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.backend.Router == nil {
		return
	}
	if err := p.backend.Reload(p.names.expand(p.optionsOf(p.running.Router))); err != nil {
		p.log.Error("the change of members by DNS is not applied; the previous members stay in use", "err", err)
	}
}

// watchFiles reloads when a file of the configuration has changed.
func (p *routing) watchFiles() {
	ticker := time.NewTicker(p.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.end:
			return
		}
		p.mu.Lock()
		changed := p.watched.changed()
		p.mu.Unlock()
		if !changed {
			continue
		}
		if err := p.reload(); err != nil {
			p.log.Error("the changed configuration is refused; the previous one stays in use", "err", err)
		}
	}
}
