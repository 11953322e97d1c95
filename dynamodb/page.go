package dynamodb

import "slices"

// page returns a page of a list: the entries after the one whose ID is after (from the first one if
// after is ""), without those that shown refuses, at most limit of them. last is the ID of the
// page's last entry, from which the next page continues; "" if no entry is left. An ID that isn't
// in the list has no entries after it. shown may be nil.
func page[T any](list []T, id func(*T) string, after string, limit int,
	shown func(*T) bool) (entries []T, last string) {
	if after != "" {
		at := slices.IndexFunc(list, func(e T) bool { return id(&e) == after })
		if at < 0 {
			return nil, ""
		}
		list = list[at+1:]
	}
	for i := range list {
		switch {
		case shown != nil && !shown(&list[i]):
		case len(entries) == limit:
			return entries, last
		default:
			entries, last = append(entries, list[i]), id(&list[i])
		}
	}
	return entries, ""
}

// writeLast writes the ID of a page's last entry; nothing if the page is the last one.
func writeLast(w *writer, name, last string) {
	if last != "" {
		w.strField(name, last)
	}
}
