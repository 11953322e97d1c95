package mcrouter

import (
	"fmt"
	"regexp"
	"time"

	"holdfast/route"
)

// A reader reads the options of one mapping; end reports the options that weren't read.
type reader struct {
	*notes
	b    *builder // makes the routes in options; nil in a pool, which has none
	path string
	o    *object
	read map[string]bool
}

func (n *notes) reader(path string, o *object) *reader {
	return &reader{notes: n, path: path, o: o, read: map[string]bool{"type": true, "name": true}}
}

func (b *builder) reader(path string, o *object) *reader {
	r := b.notes.reader(path, o)
	r.b = b
	return r
}

func (r *reader) get(key string) (any, bool) {
	r.read[key] = true
	v, found := r.o.values[key]
	return v, found
}

func (r *reader) has(key string) bool { _, found := r.get(key); return found }

func (r *reader) at(key string) string { return join(r.path, key) }

// simple matches keys that need no quotes in a path.
var simple = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	if !simple.MatchString(key) {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// typed reads an option of type T. The result is the zero value if the option is missing or has
// another type; the latter is a fault.
func typed[T any](r *reader, key, want string) (value T) {
	v, found := r.get(key)
	if !found {
		return value
	}
	value, ok := v.(T)
	if !ok {
		r.fault(r.at(key), "must be %s, not %s", want, typeName(v))
	}
	return value
}

func (r *reader) string(key string) string  { return typed[string](r, key, "a string") }
func (r *reader) bool(key string) bool      { return typed[bool](r, key, "true or false") }
func (r *reader) list(key string) []any     { return typed[[]any](r, key, "a list") }
func (r *reader) object(key string) *object { return typed[*object](r, key, "a mapping") }
func (r *reader) int(key string) int        { return int(typed[int64](r, key, "a whole number")) }

func (r *reader) number(key string) float64 {
	v, found := r.get(key)
	f, ok := number(v)
	if found && !ok {
		r.fault(r.at(key), "must be a number, not %s", typeName(v))
	}
	return f
}

// maxExptime is the largest exptime, in seconds, that memcached takes for a duration; larger ones
// are points in time.
const maxExptime = 30 * 24 * 3600

// seconds reads a TTL.
func (r *reader) seconds(key string) time.Duration {
	n := r.int(key)
	if n > maxExptime {
		r.fault(r.at(key), "%d is above 30 days: memcached reads that as an absolute time", n)
		return 0
	}
	return time.Duration(n) * time.Second
}

// milliseconds reads a time-out above 0; the result is 0 if it is missing.
func (r *reader) milliseconds(key string) time.Duration {
	n := r.int(key)
	if r.has(key) && (n <= 0 || n > 1e9) {
		r.fault(r.at(key), "%d is not a number of milliseconds above 0", n)
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

func (r *reader) numbers(key string) []float64 {
	var list []float64
	for i, v := range r.list(key) {
		f, ok := number(v)
		if !ok {
			r.fault(fmt.Sprintf("%s[%d]", r.at(key), i), "must be a number, not %s", typeName(v))
		}
		list = append(list, f)
	}
	return list
}

func (r *reader) strings(key string) []string {
	var list []string
	for i, v := range r.list(key) {
		s, ok := v.(string)
		if !ok {
			r.fault(fmt.Sprintf("%s[%d]", r.at(key), i), "must be a string, not %s", typeName(v))
		}
		list = append(list, s)
	}
	return list
}

// route reads a required route.
func (r *reader) route(key string) *route.Route {
	v, found := r.get(key)
	if !found {
		r.fault(r.path, "%s is missing", key)
		return nil
	}
	return r.b.one(r.at(key), v)
}

// optionalRoute reads a route; the result is nil if it is missing.
func (r *reader) optionalRoute(key string) *route.Route {
	if !r.has(key) {
		return nil
	}
	return r.route(key)
}

func (r *reader) routes(key string) []route.Route {
	v, found := r.get(key)
	if !found {
		return nil
	}
	return r.b.list(r.at(key), v)
}

// ignore reads options that have no counterpart and don't change any response to clients; why
// follows "has no effect here: " in the warning.
func (r *reader) ignore(why string, keys ...string) {
	for _, key := range keys {
		if v, found := r.get(key); found && v != false {
			r.warn(r.at(key), "has no effect here: %s", why)
		}
	}
}

// onlyDefault reads options that are supported only with their default, a scalar.
func (r *reader) onlyDefault(value any, keys ...string) {
	for _, key := range keys {
		if v, found := r.get(key); found && !equalScalars(value, v) {
			r.fault(r.at(key), "isn't supported")
		}
	}
}

// end reports the options that weren't read.
func (r *reader) end() {
	for _, key := range r.o.keys {
		if !r.read[key] {
			r.fault(r.at(key), "isn't supported")
		}
	}
}
