package mc

import "bytes"

// An AnswerKind is the word that an answer begins with.
type AnswerKind uint8

// The kinds of answers. Those of the meta commands come after AnswerStat, and the errors last.
const (
	NoAnswer AnswerKind = iota // the line is not an answer of the protocol

	AnswerValue  // VALUE: of get, gets, gat and gats
	AnswerEnd    // END: of the same, and of stats
	AnswerStored // of the storage commands, like the next three
	AnswerNotStored
	AnswerExists
	AnswerNotFound // also of delete, touch, incr and decr
	AnswerDeleted
	AnswerTouched
	AnswerOK      // of flush_all, verbosity and others about the server
	AnswerNumber  // of incr and decr
	AnswerVersion // VERSION
	AnswerStat    // STAT: a line of a server's statistics

	AnswerHD
	AnswerVA
	AnswerEN
	AnswerNF
	AnswerNS
	AnswerEX
	AnswerMN
	AnswerME

	AnswerError // ERROR: the command is unknown to the server
	AnswerClientError
	AnswerServerError
)

// answerWords are the words of the kinds, by AnswerKind.
var answerWords = [...]string{
	NoAnswer: "none", AnswerNumber: "number",

	AnswerValue: "VALUE", AnswerEnd: "END", AnswerStored: "STORED", AnswerNotStored: "NOT_STORED",
	AnswerExists: "EXISTS", AnswerNotFound: "NOT_FOUND", AnswerDeleted: "DELETED", AnswerTouched: "TOUCHED",
	AnswerOK: "OK", AnswerVersion: "VERSION", AnswerStat: "STAT",

	AnswerHD: HD, AnswerVA: VA, AnswerEN: EN, AnswerNF: NF, AnswerNS: NS, AnswerEX: EX, AnswerMN: MN, AnswerME: ME,

	AnswerError: "ERROR", AnswerClientError: "CLIENT_ERROR", AnswerServerError: "SERVER_ERROR",
}

// String returns the word on the wire; "none" for NoAnswer, and "number" for AnswerNumber, which
// has no word.
func (k AnswerKind) String() string { return answerWords[k] }

// IsError reports whether the server refused the request.
func (k AnswerKind) IsError() bool { return k >= AnswerError }

// An Answer is a parsed answer to a request of the text protocol, or to one key of a get line. Key
// and Args borrow the line from which it was parsed.
//
// Parsing is strict: there is one space between the parts of a VALUE line, and numbers consist of
// digits. Servers and proxies print answers like that, and a client that guesses may mistake one
// answer for another.
type Answer struct {
	Kind       AnswerKind
	HasCAS     bool // AnswerValue: of gets or gats
	ValueBytes int  // AnswerValue, AnswerVA: the length of the block that follows the line

	ClientFlags uint64 // AnswerValue; memcached may be built with 64 bits of them
	CAS         uint64 // AnswerValue, with HasCAS
	Number      uint64 // AnswerNumber: the new value

	Key  []byte // AnswerValue, AnswerME: the key; AnswerStat: the name
	Args []byte // meta: the flags; AnswerStat, AnswerVersion, errors: the text that follows; nil if none
}

// ParseLine parses the first line of an answer, without its line end. It reports whether the line
// is valid; if not, a.Kind is NoAnswer.
func (a *Answer) ParseLine(line []byte) bool {
	*a = Answer{}
	switch kind := wordKind(line); kind {
	case NoAnswer, AnswerVersion, AnswerStat: // something has to follow
	default:
		a.Kind = kind
		return true
	}
	if rest, ok := bytes.CutPrefix(line, []byte("VALUE ")); ok {
		return a.parseValue(rest)
	}
	if len(line) == 2 || len(line) > 2 && line[2] == ' ' {
		if kind := metaKind(line[:2]); kind != NoAnswer {
			return a.parseMeta(kind, trim(line[2:]))
		}
	}
	if len(line) > 0 && isDigit(line[0]) {
		return a.parseNumber(line)
	}
	word, rest := cutWord(line)
	kind := wordKind(word)
	switch kind {
	case NoAnswer:
		return false
	case AnswerError, AnswerClientError, AnswerServerError:
		a.Args = rest
	case AnswerVersion:
		if rest == nil {
			return false
		}
		a.Args = rest
	case AnswerStat:
		a.Key, a.Args = cutWord(rest)
		if len(a.Key) == 0 {
			*a = Answer{}
			return false
		}
	default:
		if rest != nil {
			return false
		}
	}
	a.Kind = kind
	return true
}

// Parse parses an answer as it is on the wire, with its line ends and the block of AnswerValue or
// AnswerVA. It returns the block, which borrows wire, and reports whether wire is exactly one
// answer. END, which ends the answers to a get line, is an answer of its own.
func (a *Answer) Parse(wire []byte) (block []byte, ok bool) {
	line, rest, ok := bytes.Cut(wire, []byte(CRLF))
	if !ok || !a.ParseLine(line) {
		*a = Answer{}
		return nil, false
	}
	if a.Kind == AnswerValue || a.Kind == AnswerVA {
		block, rest, ok = cutBlock(rest, a.ValueBytes)
	}
	if !ok || len(rest) > 0 {
		*a = Answer{}
		return nil, false
	}
	return block, true
}

// cutBlock cuts a block of size bytes and its line end off b.
func cutBlock(b []byte, size int) (block, rest []byte, ok bool) {
	if len(b) < size+len(CRLF) || string(b[size:size+len(CRLF)]) != CRLF {
		return nil, nil, false
	}
	return b[:size:size], b[size+len(CRLF):], true
}

// Flag returns the argument of a flag of a meta answer, which may be empty, and reports whether the
// answer has the flag.
func (a *Answer) Flag(flag byte) (argument []byte, ok bool) {
	for token, rest := Token(a.Args); token != nil; token, rest = Token(rest) {
		if token[0] == flag {
			return token[1:], true
		}
	}
	return nil, false
}

// FlagUint returns the argument of a flag of a meta answer, and reports whether it is there and a
// number.
func (a *Answer) FlagUint(flag byte) (n uint64, ok bool) {
	argument, ok := a.Flag(flag)
	if !ok {
		return 0, false
	}
	if n, _, ok = cutUint(argument); !ok { // a token has no space, so cutUint parses all of it
		return 0, false
	}
	return n, true
}

// AppendLine appends the line from which a would be parsed, without its line end.
func (a *Answer) AppendLine(dst []byte) []byte {
	switch a.Kind {
	case AnswerValue:
		dst = append(append(append(dst, "VALUE "...), a.Key...), ' ')
		dst = AppendUint(append(AppendUint(dst, a.ClientFlags), ' '), uint64(a.ValueBytes))
		if a.HasCAS {
			dst = AppendUint(append(dst, ' '), a.CAS)
		}
		return dst
	case AnswerNumber:
		return AppendUint(dst, a.Number)
	case AnswerVA:
		dst = AppendMetaValue(dst, a.ValueBytes)
	case AnswerME, AnswerStat:
		dst = append(append(append(dst, a.Kind.String()...), ' '), a.Key...)
	default:
		dst = append(dst, a.Kind.String()...)
	}
	if a.Args != nil {
		dst = append(append(dst, ' '), a.Args...)
	}
	return dst
}

// Text returns the answer's word and the text that follows it, for messages about errors.
func (a *Answer) Text() string {
	if a.Args == nil {
		return a.Kind.String()
	}
	return a.Kind.String() + " " + string(a.Args)
}

// parseValue parses "key flags bytes" or "key flags bytes cas".
func (a *Answer) parseValue(rest []byte) bool {
	at := bytes.IndexByte(rest, ' ')
	if at < 1 || at > MaxKeyBytes {
		return false
	}
	key := rest[:at:at]
	flags, rest, ok := cutUint(rest[at+1:])
	if !ok || len(rest) == 0 {
		return false
	}
	size, rest, ok := cutUint(rest[1:])
	if !ok || size > maxBlockBytes {
		return false
	}
	var cas uint64
	hasCAS := len(rest) > 0
	if hasCAS {
		if cas, rest, ok = cutUint(rest[1:]); !ok || len(rest) > 0 {
			return false
		}
	}
	a.Kind = AnswerValue
	a.Key, a.ClientFlags, a.ValueBytes, a.HasCAS, a.CAS = key, flags, int(size), hasCAS, cas
	return true
}

// parseMeta parses what follows the code of a meta answer.
func (a *Answer) parseMeta(kind AnswerKind, rest []byte) bool {
	switch kind {
	case AnswerVA:
		size, flags, ok := cutUint(rest)
		if !ok || size > maxBlockBytes {
			return false
		}
		a.ValueBytes, rest = int(size), trim(flags)
	case AnswerME:
		key, after := Token(rest)
		if key == nil || len(key) > maxEncodedKeyBytes {
			return false
		}
		a.Key, rest = key, trim(after)
	case AnswerMN:
		if len(rest) > 0 {
			return false
		}
	}
	if len(rest) > 0 {
		a.Args = rest
	}
	a.Kind = kind
	return true
}

// maxEncodedKeyBytes is the length of the longest key in base64.
const maxEncodedKeyBytes = (MaxKeyBytes + 2) / 3 * 4

// parseNumber parses an answer to incr or decr. A server may pad the number with spaces.
func (a *Answer) parseNumber(line []byte) bool {
	n, rest, ok := cutUint(line)
	if !ok || len(trim(rest)) > 0 {
		return false
	}
	a.Kind, a.Number = AnswerNumber, n
	return true
}

// metaKind returns the kind of answer that begins with the meta code.
func metaKind(code []byte) AnswerKind {
	switch string(code) {
	case HD:
		return AnswerHD
	case VA:
		return AnswerVA
	case EN:
		return AnswerEN
	case NF:
		return AnswerNF
	case NS:
		return AnswerNS
	case EX:
		return AnswerEX
	case MN:
		return AnswerMN
	case ME:
		return AnswerME
	}
	return NoAnswer
}

// wordKind returns the kind of answer that begins with the word.
func wordKind(word []byte) AnswerKind {
	switch string(word) {
	case "END":
		return AnswerEnd
	case "STORED":
		return AnswerStored
	case "NOT_STORED":
		return AnswerNotStored
	case "EXISTS":
		return AnswerExists
	case "NOT_FOUND":
		return AnswerNotFound
	case "DELETED":
		return AnswerDeleted
	case "TOUCHED":
		return AnswerTouched
	case "OK":
		return AnswerOK
	case "VERSION":
		return AnswerVersion
	case "STAT":
		return AnswerStat
	case "ERROR":
		return AnswerError
	case "CLIENT_ERROR":
		return AnswerClientError
	case "SERVER_ERROR":
		return AnswerServerError
	}
	return NoAnswer
}

// cutWord cuts line at its first space. Rest is nil if there is none.
func cutWord(line []byte) (word, rest []byte) {
	word, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return word, nil
	}
	return word, rest
}

// cutUint cuts off the number at the start of b. The rest is empty or begins with a space.
func cutUint(b []byte) (n uint64, rest []byte, ok bool) {
	const most = 1<<64 - 1
	i := 0
	for i < len(b) && isDigit(b[i]) {
		digit := uint64(b[i] - '0')
		if n > (most-digit)/10 {
			return 0, nil, false
		}
		n = n*10 + digit
		i++
	}
	return n, b[i:], i > 0 && (i == len(b) || b[i] == ' ')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
