package node

import (
	"cmp"
	"reflect"
	"slices"

	"holdfast/config"
)

// needsRestart names the settings in which next differs from the running configuration and that
// only a restart changes: all but the router's pools and routes.
func needsRestart(running, next config.Config) []string {
	var changed []string
	compare := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			changed = append(changed, name)
		}
	}
	compare("cache", running.Cache, next.Cache)
	if running.Tables.On() { // a router that runs alone has none, whatever the file says
		compare("tables", running.Tables, next.Tables)
		compare("cluster", running.Cluster, next.Cluster)
	}
	compare("http", running.HTTP, next.HTTP)
	compare("log", running.Log, next.Log)
	compare("router.listen", addresses(running.Router.Listen), addresses(inEntryOrder(next.Router.Listen)))
	compare("router.journal", running.Router.Journal, next.Router.Journal)
	a, b := reflect.ValueOf(*running.Router), reflect.ValueOf(*next.Router)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		if field.Name == "Listen" || field.Anonymous {
			continue
		}
		compare("router."+field.Tag.Get("yaml"), a.Field(i).Interface(), b.Field(i).Interface())
	}
	return changed
}

// addresses are the listeners without their routes.
func addresses(listeners []config.RouterListener) []config.Listener {
	plain := make([]config.Listener, len(listeners))
	for i, l := range listeners {
		plain[i] = l.Listener
	}
	return plain
}

// inEntryOrder returns the listeners in the order in which the server numbers them: the Unix socket
// is the last.
func inEntryOrder(listeners []config.RouterListener) []config.RouterListener {
	ordered := slices.Clone(listeners)
	slices.SortStableFunc(ordered, func(a, b config.RouterListener) int { return cmp.Compare(last(a), last(b)) })
	return ordered
}

func last(l config.RouterListener) int {
	if network, _ := l.Network(); network == "unix" {
		return 1
	}
	return 0
}
