package mc

import "strconv"

// AppendRequest appends r in its form on the wire; decoding that returns r again. A get is printed
// as a line of its own, which makes it Last; AppendRequests joins keys. A meta request is printed
// from its Key, Args and Value, so changes to other fields have no effect. An Invalid request
// prints nothing.
func AppendRequest(dst []byte, r *Request) []byte {
	if r.Op == Invalid {
		return dst
	}
	dst = append(dst, r.Op.String()...)
	switch {
	case r.Op.IsGet():
		dst = appendGetExptime(dst, r)
		dst = appendWord(dst, r.Key)
	case r.Op >= Set && r.Op <= CAS:
		return appendStore(dst, r)
	case r.Op.IsMeta():
		return appendMeta(dst, r)
	case r.Op.Admin():
		if len(r.Args) > 0 {
			dst = appendWord(dst, r.Args)
		}
	case r.Op == MetaNoop:
	default:
		return appendShort(dst, r)
	}
	return append(dst, CRLF...)
}

// AppendRequests appends the requests of a batch as AppendRequest does, with the keys up to a Last
// one on one get line.
func AppendRequests(dst []byte, requests []Request) []byte {
	open := false
	for i := range requests {
		r := &requests[i]
		if !r.Op.IsGet() {
			dst = AppendRequest(dst, r)
			continue
		}
		if !open {
			dst = append(dst, r.Op.String()...)
			dst = appendGetExptime(dst, r)
		}
		dst = appendWord(dst, r.Key)
		open = i+1 < len(requests) && sameLine(r, &requests[i+1])
		if !open {
			dst = append(dst, CRLF...)
		}
	}
	return dst
}

func sameLine(r, next *Request) bool {
	return !r.Last && next.Op == r.Op && next.Exptime == r.Exptime
}

func appendGetExptime(dst []byte, r *Request) []byte {
	if r.Op == Gat || r.Op == Gats {
		return appendInt(dst, r.Exptime)
	}
	return dst
}

// appendShort appends what follows the name in delete, incr, decr, touch and flush_all.
func appendShort(dst []byte, r *Request) []byte {
	switch r.Op {
	case Delete:
		dst = appendWord(dst, r.Key)
		if !r.NoReply && string(r.Key) == "noreply" {
			dst = append(dst, " 0"...) // otherwise the key would also mean noreply
		}
	case Incr, Decr:
		dst = appendWord(dst, r.Key)
		dst = AppendUint(append(dst, ' '), r.Delta)
	case Touch:
		dst = appendWord(dst, r.Key)
		dst = appendInt(dst, r.Exptime)
	case FlushAll:
		if r.HasExptime {
			dst = appendInt(dst, r.Exptime)
		}
	}
	return appendNoReply(dst, r)
}

func appendStore(dst []byte, r *Request) []byte {
	dst = appendWord(dst, r.Key)
	dst = AppendUint(append(dst, ' '), uint64(r.ClientFlags))
	dst = appendInt(dst, r.Exptime)
	dst = AppendUint(append(dst, ' '), uint64(len(r.Value)))
	if r.Op == CAS {
		dst = AppendUint(append(dst, ' '), r.CAS)
	}
	return appendBlock(appendNoReply(dst, r), r)
}

func appendMeta(dst []byte, r *Request) []byte {
	dst = appendKey(append(dst, ' '), r.Key, r.Has('b'), "")
	if r.Op == MetaSet {
		dst = AppendUint(append(dst, ' '), uint64(len(r.Value)))
	}
	if len(r.Args) > 0 {
		dst = appendWord(dst, r.Args)
	}
	dst = append(dst, CRLF...)
	if r.Op == MetaSet {
		dst = appendBlock(dst, r)
	}
	return dst
}

func appendBlock(dst []byte, r *Request) []byte {
	dst = append(dst, r.Value...)
	return append(dst, CRLF...)
}

func appendNoReply(dst []byte, r *Request) []byte {
	if r.NoReply {
		dst = append(dst, " noreply"...)
	}
	return append(dst, CRLF...)
}

func appendWord(dst, word []byte) []byte {
	return append(append(dst, ' '), word...)
}

func appendInt(dst []byte, n int64) []byte {
	return strconv.AppendInt(append(dst, ' '), n, 10)
}
