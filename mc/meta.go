package mc

const (
	maxMetaTokens  = 20 // of a meta line: the command, the key, the length of ms, the flags
	maxOpaqueBytes = 32 // an opaque with its O
)

// meta decodes mg, md and ma: KEY FLAGS…
func (d *Decoder) meta(op Op, end int, args []byte, b *Batch) int {
	key, rest := keyToken(args)
	n := countFlags(rest, 2)
	if key == nil || n < 0 {
		return b.refuse(faultLine, false, end)
	}
	r := b.add(op)
	fault := r.readFlags(key, trim(rest), 2+n)
	if op == MetaArithmetic {
		if fault != "" {
			fault = faultArithmetic
		} else if r.Has('M') && !isArithmeticMode(r.Mode) {
			fault = faultArithmeticMode
		}
	}
	if fault == "" && r.Has('O') && !opaqueFits(r.Args) {
		fault = faultOpaque
	}
	if fault != "" {
		r.fail(fault, false)
		return end
	}
	r.setKey(key)
	return end
}

// metaSet decodes ms KEY BYTES FLAGS… and its data block. Errors are answered even with q.
func (d *Decoder) metaSet(in []byte, end int, args []byte, b *Batch) int {
	key, rest := keyToken(args)
	sizeToken, rest := Token(rest)
	n := countFlags(rest, 3)
	size, ok := parseSize(sizeToken)
	if !ok || n < 0 {
		return b.refuse(faultLine, false, end)
	}
	r := b.add(MetaSet)
	fault := r.readFlags(key, trim(rest), 3+n)
	if fault == "" && r.Has('M') && !isSetMode(r.Mode) {
		fault = faultSetMode
	}
	if fault == "" && d.tooLarge(r.keyBytes(key), r.ClientFlags, size) {
		r.setKey(key)
		held := r.Key
		d.refuseBlock(r, TooLarge, false, end, size)
		r.Drop, r.Key = true, held
		return end
	}
	if fault == "" && r.Has('O') && !opaqueFits(r.Args) {
		fault = faultOpaque
	}
	if fault != "" {
		return d.refuseBlock(r, fault, false, end, size)
	}
	block := d.block(in, end, size)
	if block == nil {
		b.Requests = b.Requests[:len(b.Requests)-1]
		return 0
	}
	took := end + len(block)
	if !wellEnded(block) {
		r.fail(faultBlock, false)
		return took
	}
	r.setKey(key)
	r.Value = block[:size:size]
	return took
}

// metaDebug decodes me KEY [b] …, and ignores other flags.
func (d *Decoder) metaDebug(end int, args []byte, b *Batch) int {
	key, rest := Token(args)
	if key == nil || countFlags(rest, 2) < 0 || len(key) > MaxKeyBytes {
		return b.refuse(faultLine, false, end)
	}
	flag, _ := Token(rest)
	binary := string(flag) == "b"
	if binary && decodeBase64(nil, key) == 0 {
		return b.refuse(faultLine, false, end)
	}
	r := b.add(MetaDebug)
	r.Args = trim(rest)
	if binary {
		r.Flags = Flag('b')
	}
	r.setKey(key)
	return end
}

// countFlags returns the number of a meta line's flags, or -1 if one within memcached's limit of
// tokens is invalid; seen tokens precede them.
func countFlags(args []byte, seen int) int {
	n := 0
	for token, rest := Token(args); token != nil; token, rest = Token(rest) {
		if seen+n < maxTokens && !startsFlag(token[0]) {
			return -1
		}
		n++
	}
	return n
}

// startsFlag is as permissive as memcached's tokenizer; readFlags refuses what is not a flag, with
// another error.
func startsFlag(c byte) bool { return c >= 'A' && c <= 'z' || c >= '0' && c <= '9' }

// readFlags sets the fields of the flags in args, and returns the fault, if any. If there are
// several, it returns the one that memcached answers: the last one, except that a repeated or
// unknown flag ends the line.
func (r *Request) readFlags(key, args []byte, tokens int) (fault string) {
	if len(key) > MaxKeyBytes {
		return faultLine
	}
	if tokens > maxMetaTokens {
		return faultFlags
	}
	r.Args = args
	if r.Op == MetaArithmetic {
		r.Delta = 1
	}
	for token, rest := Token(args); token != nil; token, rest = Token(rest) {
		c := token[0]
		if c < 'A' {
			return faultFlag // a digit
		}
		if r.Has(c) {
			return faultDuplicate
		}
		r.Flags |= Flag(c)
		switch c {
		case 'c', 'f', 'h', 'k', 'l', 'L', 'O', 'P', 's', 't', 'u', 'v', 'x', 'I':
		case 'q':
			r.NoReply = true
		case 'M':
			if len(token) > 1 {
				r.Mode = token[1]
			}
		case 'b':
			if decodeBase64(nil, key) == 0 {
				fault = faultBase64
			}
		case 'N', 'T', 'R', 'F', 'C', 'E', 'J', 'D':
			fault = r.readNumber(c, token[1:], fault)
		default:
			return faultFlag
		}
	}
	return fault
}

// readNumber sets the field of a flag with a number. It returns its fault, or else the earlier one.
func (r *Request) readNumber(c byte, number []byte, fault string) string {
	var ok bool
	switch c {
	case 'N':
		r.Vivify, ok = parseTime(number)
	case 'T':
		r.Exptime, ok = parseTime(number)
	case 'R':
		r.Recache, ok = parseTime(number)
	case 'C':
		r.CAS, ok = parseUint(number)
	case 'E':
		r.NewCAS, ok = parseUint(number)
	case 'J':
		if r.Initial, ok = parseUint(number); !ok {
			return faultInitial
		}
	case 'D':
		if r.Delta, ok = parseUint(number); !ok {
			return faultMetaDelta
		}
	case 'F': // memcached has no text for this fault
		var flags uint64
		flags, ok = parseUint(number)
		r.ClientFlags = uint32(flags)
		if !ok && fault == "" {
			return faultLine
		}
		return fault
	}
	if !ok {
		return faultToken
	}
	return fault
}

// parseTime parses a time of 32 bits.
func parseTime(number []byte) (int64, bool) {
	n, ok := parseInt(number)
	return int64(int32(n)), ok
}

// keyBytes returns the length of key as it will be stored.
func (r *Request) keyBytes(key []byte) int {
	if r.Has('b') {
		return decodeBase64(nil, key)
	}
	return len(key)
}

// setKey sets the key, which it decodes in place if there is the b flag. The request must be
// complete, since its bytes can't be decoded again.
func (r *Request) setKey(key []byte) {
	if r.Has('b') {
		n := decodeBase64(key, key)
		key = key[:n:n]
	}
	r.Key = key
}

func opaqueFits(args []byte) bool {
	for token, rest := Token(args); token != nil; token, rest = Token(rest) {
		if token[0] == 'O' {
			return len(token) <= maxOpaqueBytes
		}
	}
	return true
}

func isSetMode(c byte) bool {
	switch c {
	case 'S', 'E', 'A', 'P', 'R':
		return true
	}
	return false
}

func isArithmeticMode(c byte) bool {
	switch c {
	case 'I', '+', 'D', '-':
		return true
	}
	return false
}
