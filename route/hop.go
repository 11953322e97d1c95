package route

import "strings"

// A Hop is a route or a member that a request comes to, with the hops after it.
type Hop struct {
	Route   string // the kind of route, or "member"
	Name    string // of a pool, or a member
	Address string // of a member
	Why     string // why the request comes here, or when
	Later   bool   // it is asked only after another hop has answered, if at all
	Next    []Hop
}

// Because returns the hop with a further reason, before the one that it has.
func (h Hop) Because(why string) Hop {
	if h.Why != "" && why != "" {
		why += "; " + h.Why
	} else if why == "" {
		why = h.Why
	}
	h.Why = why
	return h
}

// AskedLater is Because for a hop that is asked only after another one.
func (h Hop) AskedLater(why string) Hop {
	h = h.Because(why)
	h.Later = true
	return h
}

// String returns the hop and those after it, one per line.
func (h Hop) String() string {
	var b strings.Builder
	h.print(&b, 0)
	return strings.TrimSuffix(b.String(), "\n")
}

func (h *Hop) print(b *strings.Builder, depth int) {
	b.WriteString(strings.Repeat(" ", depth))
	b.WriteString(h.Route)
	if h.Name != "" {
		b.WriteString(" " + Printable(h.Name))
	}
	if h.Address != "" && h.Address != h.Name {
		b.WriteString(" " + Printable(h.Address))
	}
	if h.Why != "" {
		b.WriteString(" (" + Printable(h.Why) + ")")
	}
	b.WriteByte('\n')
	for i := range h.Next {
		h.Next[i].print(b, depth+1)
	}
}

// Addresses appends the addresses of the members that are asked first.
func Addresses(b []string, hops []Hop) []string {
	for i := range hops {
		h := &hops[i]
		if h.Later {
			continue
		}
		if h.Address != "" {
			b = append(b, h.Address)
		}
		b = Addresses(b, h.Next)
	}
	return b
}
