package route

import "strings"

// A Hop is a route or a member on the way of a request, with those after it.
type Hop struct {
	Route   string // the kind of route, or "member"
	Name    string // of a pool, or a member
	Address string // of a member
	Why     string // why it is this one, or when it is asked
	Later   bool   // it is asked only after another one has answered, if at all
	Next    []Hop
}

// Because returns the hop with a reason, before the one that it has.
func (h Hop) Because(why string) Hop {
	if h.Why != "" && why != "" {
		why += "; " + h.Why
	} else if why == "" {
		why = h.Why
	}
	h.Why = why
	return h
}

// AskedLater is because, of a hop that is asked after another.
func (h Hop) AskedLater(why string) Hop {
	h = h.Because(why)
	h.Later = true
	return h
}

// String is the hop and those after it, a line each.
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

// Addresses appends those of the members that are asked at first.
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
