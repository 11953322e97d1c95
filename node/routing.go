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
	source  Source // at first
	poll    time.Duration
	server  *server.Server
	backend *routerBackend
	names   *discovery

	reloads atomic.Int64 // that changed pools and routes
	refused atomic.Int64 // that didn't

	mu      sync.Mutex    // guards what follows; a reload holds it throughout
	running config.Config // its router's listeners are in the order of mc.Batch.Entry
	watched fileWatch

	end   chan struct{} // closed by close
	ended sync.WaitGroup
}

// A routerBackend is the router for its server, which is made before it: the router needs the event
// loops of the server.
type routerBackend struct{ *router.Router }

// openRouting binds the router's addresses. Then come connect and start.
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

// lanesBehind is the store for the router, whose event loops have lanes of their own in it, behind
// those of the cache's server.
type lanesBehind struct {
	store *cache.Store
	first int
}

func (s lanesBehind) Serve(b *mc.Batch) {
	b.Lane += s.first
	s.store.Serve(b)
}

// connect makes the router, once it is known what its members' names stand for.
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
	p.tell(p.source)
	return nil
}

// journalName tells this router from others before the same members: it should outlive the journal
// folder.
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

// tell has the router show where its options are from.
func (p *routing) tell(s Source) {
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

// close works on one that never started, too.
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

// optionsOf are the options of r with the routes of the listeners that this process has. One that
// is not in r any more keeps its route.
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

// reload reads the configuration again and uses it for the router.
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
		err = p.use(c)
	}
	if err != nil {
		p.refused.Add(1)
		return err
	}
	p.tell(source)
	p.reloads.Add(1)
	p.log.Info("the router's pools and routes are read again", "pools", len(c.Router.Pools))
	return nil
}

// use has the router go by c. p.mu is held.
func (p *routing) use(c config.Config) error {
	if c.Router == nil {
		return errors.New("router: the section is gone; a restart ends the router")
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
	if later := changesOfRestart(p.running, c); len(later) > 0 {
		p.log.Warn("these settings have changed, and count from the next start on", "settings", later)
	}
	r := *p.running.Router
	journal := r.Journal // is opened once
	r.Options, r.Journal = c.Router.Options, journal
	r.Listen = slices.Clone(r.Listen)
	for i := range r.Listen {
		r.Listen[i].Route = &o.Entries[i]
	}
	p.running.Router = &r
	return nil
}

// namesChanged has the router go by what a name now stands for.
func (p *routing) namesChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.backend.Router == nil {
		return
	}
	if err := p.backend.Reload(p.names.expand(p.optionsOf(p.running.Router))); err != nil {
		p.log.Error("the members of the router's pools stay as they are", "err", err)
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
			p.log.Error("the changed configuration is refused; what was loaded before stays in use", "err", err)
		}
	}
}
