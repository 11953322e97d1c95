package mc

import "bytes"

// get decodes the keys of a get line, which begin at byte at, each into a request. A line with an
// invalid key gives no requests. If b is full before the line ends, the rest of the line waits for
// another batch, and its keys have been checked already.
func (d *Decoder) get(op Op, exptime int64, in []byte, at int, checked bool, b *Batch) int {
	line := cutEnd(in)
	first := len(b.Requests)
	limit := maxRequests(d.MaxRequests)
	for {
		for at < len(line) && line[at] == ' ' {
			at++
		}
		if at == len(line) {
			break
		}
		end := keyEnd(line, at)
		if end-at > MaxKeyBytes {
			b.Requests = b.Requests[:first]
			return b.refuse(faultLine, false, len(in))
		}
		if len(b.Requests) == limit {
			if !checked && !keysFit(line, at) {
				b.Requests = b.Requests[:first]
				return b.refuse(faultLine, false, len(in))
			}
			d.rest, d.restOp, d.restExptime = len(in)-at, op, exptime
			return at
		}
		r := b.add(op)
		r.Key = line[at:end:end]
		r.Exptime = exptime
		at = end
	}
	if len(b.Requests) == first {
		return b.refuse(faultLine, false, len(in))
	}
	b.Requests[len(b.Requests)-1].Last = true
	return len(in)
}

// restOfGet continues with the rest of a line that get or restOfGet has left.
func (d *Decoder) restOfGet(in []byte, b *Batch) int {
	n := d.rest
	d.rest = 0
	return d.get(d.restOp, d.restExptime, in[:n], 0, true, b)
}

// keyEnd returns the end of the key that starts at byte at of line.
func keyEnd(line []byte, at int) int {
	if n := bytes.IndexByte(line[at:], ' '); n >= 0 {
		return at + n
	}
	return len(line)
}

// keyToken is like Token, and faster for longer tokens.
func keyToken(args []byte) (key, rest []byte) {
	i := 0
	for i < len(args) && args[i] == ' ' {
		i++
	}
	if i == len(args) {
		return nil, nil
	}
	end := keyEnd(args, i)
	return args[i:end:end], args[end:]
}

// keysFit reports whether the keys of line from byte at on have valid lengths.
func keysFit(line []byte, at int) bool {
	for at < len(line) {
		end := keyEnd(line, at)
		if end-at > MaxKeyBytes {
			return false
		}
		at = end + 1
	}
	return true
}

// gat EXPTIME KEY…
func (d *Decoder) gat(op Op, in []byte, at int, b *Batch) int {
	line := cutEnd(in)
	exptimeToken, keys := Token(line[at:])
	if key, _ := Token(keys); key == nil {
		return b.refuse(faultLine, false, len(in))
	}
	exptime, ok := parseInt32(exptimeToken)
	if !ok {
		return b.refuse(faultExptime, false, len(in))
	}
	return d.get(op, int64(exptime), in, len(line)-len(keys), false, b)
}

// store decodes set KEY FLAGS EXPTIME BYTES [CASUNIQUE] [noreply] and its data block. As in
// memcached, if the length is invalid, the block's end is unknown and the block is decoded as
// commands; if anything else is invalid, as many bytes as the length says are skipped.
func (d *Decoder) store(op Op, in []byte, end int, args []byte, b *Batch) int {
	key, rest := keyToken(args)
	flagsToken, rest := Token(rest)
	exptimeToken, rest := Token(rest)
	sizeToken, rest := Token(rest)
	size, ok := parseSize(sizeToken)
	if !ok {
		return b.refuse(faultLine, false, end)
	}
	noreply := hasNoReply(rest, 5)
	flags, flagsOK := parseUint(flagsToken)
	exptime, exptimeOK := parseInt(exptimeToken)
	var cas uint64
	casOK := true
	if op == CAS {
		token, _ := Token(rest)
		cas, casOK = parseUint(token)
	}
	if len(key) > MaxKeyBytes || !flagsOK || !exptimeOK || !casOK {
		return d.refuseBlock(b.add(op), faultLine, noreply, end, size)
	}
	if d.tooLarge(len(key), uint32(flags), size) {
		r := b.add(op)
		d.refuseBlock(r, TooLarge, noreply, end, size)
		if op == Set {
			r.Drop, r.Key = true, key
		}
		return end
	}
	block := d.block(in, end, size)
	if block == nil {
		return 0
	}
	took := end + len(block)
	if !wellEnded(block) {
		return b.refuse(faultBlock, noreply, took)
	}
	r := b.add(op)
	r.Key = key
	r.Value = block[:size:size]
	r.NoReply = noreply
	r.ClientFlags = uint32(flags)
	r.Exptime = int64(int32(exptime))
	r.CAS = cas
	return took
}

// refuseBlock makes r a refusal and skips the data block that follows. It returns end.
func (d *Decoder) refuseBlock(r *Request, fault string, noreply bool, end, size int) int {
	r.fail(fault, noreply)
	d.swallow = size + 2
	return end
}

// block returns the data block of size bytes and \r\n that follows a line, or nil if it is
// incomplete.
func (d *Decoder) block(in []byte, end, size int) []byte {
	whole := end + size + 2
	if len(in) < whole {
		d.need = whole
		return nil
	}
	return in[end:whole]
}

func wellEnded(block []byte) bool {
	n := len(block)
	return block[n-2] == '\r' && block[n-1] == '\n'
}

func (d *Decoder) tooLarge(keyBytes int, flags uint32, valueBytes int) bool {
	return itemTooLarge(d.ItemMaxBytes, keyBytes, flags, valueBytes)
}

// itemTooLarge reports whether memcached would refuse the item: it counts its header of 48 bytes,
// the CAS, the key's NUL, the value's \r\n, and the client flags if they are not 0.
func itemTooLarge(limit, keyBytes int, flags uint32, valueBytes int) bool {
	if limit == 0 {
		limit = defaultItemMaxBytes
	}
	n := 48 + 8 + keyBytes + 1 + valueBytes + 2
	if flags != 0 {
		n += 4
	}
	return n > limit
}

// delete KEY [0] [noreply]
func (d *Decoder) delete(end int, args []byte, b *Batch) int {
	key, rest := Token(args)
	if key == nil {
		return b.refuse(faultLine, false, end)
	}
	// "delete noreply" deletes the key "noreply" quietly: memcached reads the last token as both.
	noreply := hasNoReply(args, 1)
	if len(key) > MaxKeyBytes {
		return b.refuse(faultLine, noreply, end)
	}
	if len(rest) > 0 && !endsDelete(rest) {
		return b.refuse(faultDelete, noreply, end)
	}
	r := b.add(Delete)
	r.Key = key
	r.NoReply = noreply
	return end
}

// endsDelete reports whether rest may follow delete's key: a time of 0, which old clients send, and
// noreply. Other times once blocked adds of the key, so a client that sends one relies on something
// that no server does any more; memcached refused them up to 1.6.18 and ignores them since.
func endsDelete(rest []byte) bool {
	first, rest := Token(rest)
	if string(first) == "0" {
		first, rest = Token(rest)
	}
	last, _ := Token(rest)
	return last == nil && (first == nil || string(first) == "noreply")
}

// incr KEY DELTA [noreply]
func (d *Decoder) arithmetic(op Op, end int, args []byte, b *Batch) int {
	key, rest := Token(args)
	deltaToken, _ := Token(rest)
	if deltaToken == nil {
		return b.refuse(faultLine, false, end)
	}
	noreply := hasNoReply(rest, 2)
	if len(key) > MaxKeyBytes {
		return b.refuse(faultLine, noreply, end)
	}
	delta, ok := parseUint(deltaToken)
	if !ok {
		return b.refuse(faultDelta, noreply, end)
	}
	r := b.add(op)
	r.Key = key
	r.NoReply = noreply
	r.Delta = delta
	return end
}

// touch KEY EXPTIME [noreply]
func (d *Decoder) touch(end int, args []byte, b *Batch) int {
	key, rest := Token(args)
	exptimeToken, _ := Token(rest)
	if exptimeToken == nil {
		return b.refuse(faultLine, false, end)
	}
	noreply := hasNoReply(rest, 2)
	if len(key) > MaxKeyBytes {
		return b.refuse(faultLine, noreply, end)
	}
	exptime, ok := parseInt(exptimeToken)
	if !ok {
		return b.refuse(faultExptime, noreply, end)
	}
	r := b.add(Touch)
	r.Key = key
	r.NoReply = noreply
	r.Exptime = int64(int32(exptime))
	return end
}

// flush_all [DELAY] [noreply]
func (d *Decoder) flushAll(end int, args []byte, b *Batch) int {
	last, tokens := lastToken(args, 1)
	noreply := string(last) == "noreply"
	if noreply {
		tokens--
	}
	if d.NoFlush {
		return b.refuse(faultFlush, noreply, end)
	}
	if tokens == 1 {
		b.add(FlushAll).NoReply = noreply
		return end
	}
	token, _ := Token(args)
	exptime, ok := parseInt32(token)
	if !ok {
		return b.refuse(faultExptime, noreply, end)
	}
	r := b.add(FlushAll)
	r.NoReply = noreply
	r.Exptime = int64(exptime)
	r.HasExptime = true
	return end
}

// admin decodes commands about the connection or the server, and refuses unknown ones.
func (d *Decoder) admin(line []byte, nameBytes, end int, b *Batch) (int, error) {
	op := d.adminOp(line[:nameBytes])
	if op == Invalid {
		last, n := lastToken(line, 0)
		if n > 1 && bytes.HasPrefix(last, []byte("HTTP/")) {
			return 0, ErrHTTP
		}
		return b.refuse(faultCommand, string(last) == "noreply", end), nil
	}
	if len(b.Requests) > 0 {
		return 0, nil
	}
	r := b.add(op)
	r.Args = trim(line[nameBytes:])
	switch op {
	case Version, Stats, Quit, Watch: // always answered
	default:
		r.NoReply = hasNoReply(r.Args, 1)
	}
	return end, nil
}

func (d *Decoder) adminOp(name []byte) Op {
	switch string(name) {
	case "version":
		return Version
	case "verbosity":
		return Verbosity
	case "stats":
		return Stats
	case "quit":
		return Quit
	case "shutdown":
		return Shutdown
	case "watch":
		return Watch
	case "lru_crawler":
		return Crawler
	case "cache_memlimit":
		return MemLimit
	case "slabs":
		return Slabs
	case "lru":
		return LRU
	case "refresh_certs":
		return RefreshCerts
	}
	if d.Debug {
		switch string(name) {
		case "misbehave":
			return Misbehave
		case "debugtime":
			return DebugTime
		}
	}
	return Invalid
}
