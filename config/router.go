package config

import (
	"fmt"
	"time"

	"holdfast/route"
)

// Router is the router service: where it listens, its pools, and the routes of requests to them.
type Router struct {
	Listen []RouterListener `yaml:"listen"`

	// These are as in Cache. They apply to the router's clients, not to the members of its pools.
	Threads         int           `yaml:"threads"`
	Connections     int           `yaml:"connections"`
	ConnectionsWait bool          `yaml:"connections_wait"`
	Backlog         int           `yaml:"backlog"`
	RequestsPerTurn int           `yaml:"requests_per_turn"`
	IdleTimeout     time.Duration `yaml:"idle_timeout"`
	AuthFile        string        `yaml:"auth_file"`
	TLS             TLS           `yaml:"tls"`
	ItemMax         Bytes         `yaml:"item_max"` // the largest item that clients may store

	route.Options
}

// A RouterListener is one address that clients connect to. In the file it is the address alone or a
// mapping.
type RouterListener struct {
	Listener
	Route *route.Route `yaml:"route"` // of requests that come here; nil is Router.Route
}

// defaultRouter returns the settings of an empty router section.
func defaultRouter() Router {
	return Router{
		Listen:          []RouterListener{{Listener: Listener{Address: "127.0.0.1:11212", Mode: DefaultMode}}},
		Connections:     1024,
		Backlog:         1024,
		RequestsPerTurn: MaxRequestsPerTurn,
		TLS:             TLS{Clients: ClientsAny, MinVersion: "1.2"},
		ItemMax:         1 << 20,
	}
}

// NewRouter returns a Router with defaults for everything but its options.
func NewRouter(o route.Options) *Router {
	r := defaultRouter()
	r.Options = o
	return &r
}

// NewMcrouter returns a Router with mcrouter's defaults for everything but its options: it accepts
// values of any size, and a member refuses a value that is too large for it.
func NewMcrouter(o route.Options) *Router {
	r := NewRouter(o)
	r.ItemMax = maxItem
	return r
}

// setDefaults sets the options that the file leaves out to their defaults. Some depend on other
// options, so it is called after the whole file was decoded.
func (r *Router) setDefaults() {
	r.Options.SetDefaults()
	for i := range r.Listen {
		if route := r.Listen[i].Route; route != nil {
			route.SetDefaults()
		}
	}
}

func (r *Router) check(f *route.Faults) {
	listeners := make([]Listener, len(r.Listen))
	for i, l := range r.Listen {
		listeners[i] = l.Listener
	}
	checkListeners(f, "router", listeners, &r.TLS)
	checkServing(f, "router", serving{r.Threads, r.Connections, r.Backlog, r.RequestsPerTurn, r.IdleTimeout})
	if r.ItemMax < minItem || r.ItemMax > maxItem {
		f.Add("router.item_max", "%v is not in [%v, %v]", r.ItemMax, Bytes(minItem), Bytes(maxItem))
	}
	r.TLS.check(f, "router.tls")
	addAll(f, "router", r.Options.Check())
	for i, l := range r.Listen {
		if l.Route != nil {
			addAll(f, "router", r.CheckRoute(fmt.Sprintf("listen[%d] %q.route", i, l.Address), l.Route))
		}
	}
}

// addAll adds the faults of a section's options, with the section before their paths.
func addAll(f *route.Faults, section string, faults route.Faults) {
	for _, fault := range faults {
		f.Add(join(section, fault.Path), "%s", fault.Text)
	}
}
