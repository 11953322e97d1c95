package mc

import "encoding/binary"

// The binary protocol follows memcached 1.6.18 (proto_bin.c, protocol_binary.h): a request or an
// answer is a header of BinaryHeaderBytes, followed by extras, key and value, whose lengths are in
// the header. Numbers are big-endian. BinaryDecoder decodes it into the same Requests as Decoder
// does text; this file appends answers.

// BinaryHeaderBytes is the length of the header of a request and of an answer.
const BinaryHeaderBytes = 24

// BinaryRequestMagic is the first byte of each binary request. No text request begins with it.
const BinaryRequestMagic = 0x80

const binaryAnswerMagic = 0x81

// An Opcode is a binary request's command. The quiet ones, whose names end in Q, have no answer if
// they succeed or, for a get, if it misses.
type Opcode uint8

// The supported opcodes.
const (
	OpcodeGet       Opcode = 0x00
	OpcodeSet       Opcode = 0x01
	OpcodeAdd       Opcode = 0x02
	OpcodeReplace   Opcode = 0x03
	OpcodeDelete    Opcode = 0x04
	OpcodeIncr      Opcode = 0x05
	OpcodeDecr      Opcode = 0x06
	OpcodeQuit      Opcode = 0x07
	OpcodeFlush     Opcode = 0x08
	OpcodeGetQ      Opcode = 0x09
	OpcodeNoop      Opcode = 0x0a
	OpcodeVersion   Opcode = 0x0b
	OpcodeGetK      Opcode = 0x0c
	OpcodeGetKQ     Opcode = 0x0d
	OpcodeAppend    Opcode = 0x0e
	OpcodePrepend   Opcode = 0x0f
	OpcodeStat      Opcode = 0x10
	OpcodeSetQ      Opcode = 0x11
	OpcodeAddQ      Opcode = 0x12
	OpcodeReplaceQ  Opcode = 0x13
	OpcodeDeleteQ   Opcode = 0x14
	OpcodeIncrQ     Opcode = 0x15
	OpcodeDecrQ     Opcode = 0x16
	OpcodeQuitQ     Opcode = 0x17
	OpcodeFlushQ    Opcode = 0x18
	OpcodeAppendQ   Opcode = 0x19
	OpcodePrependQ  Opcode = 0x1a
	OpcodeVerbosity Opcode = 0x1b // in the protocol's document; memcached calls it unknown
	OpcodeTouch     Opcode = 0x1c
	OpcodeGat       Opcode = 0x1d
	OpcodeGatQ      Opcode = 0x1e
	OpcodeSASLList  Opcode = 0x20
	OpcodeSASLAuth  Opcode = 0x21
	OpcodeSASLStep  Opcode = 0x22
	OpcodeGatK      Opcode = 0x23
	OpcodeGatKQ     Opcode = 0x24
)

// A bodyShape defines which parts a request's body must have.
type bodyShape uint8

const (
	bodyEmpty    bodyShape = iota
	bodyKey                // a key and nothing else, after the extras
	bodyValue              // a key and a value, which may be empty
	bodyGroup              // a key that may be missing
	bodyOptional           // extras that may be missing, and nothing else
)

// binaryOps describes each opcode. An opcode whose op is Invalid is unknown.
var binaryOps = [256]struct {
	op     Op
	quiet  bool
	keyed  bool // the answer has the key
	extras uint8
	body   bodyShape
}{
	OpcodeGet:       {op: Get, body: bodyKey},
	OpcodeGetQ:      {op: Get, body: bodyKey, quiet: true},
	OpcodeGetK:      {op: Get, body: bodyKey, keyed: true},
	OpcodeGetKQ:     {op: Get, body: bodyKey, keyed: true, quiet: true},
	OpcodeSet:       {op: Set, extras: 8, body: bodyValue},
	OpcodeSetQ:      {op: Set, extras: 8, body: bodyValue, quiet: true},
	OpcodeAdd:       {op: Add, extras: 8, body: bodyValue},
	OpcodeAddQ:      {op: Add, extras: 8, body: bodyValue, quiet: true},
	OpcodeReplace:   {op: Replace, extras: 8, body: bodyValue},
	OpcodeReplaceQ:  {op: Replace, extras: 8, body: bodyValue, quiet: true},
	OpcodeAppend:    {op: Append, body: bodyValue},
	OpcodeAppendQ:   {op: Append, body: bodyValue, quiet: true},
	OpcodePrepend:   {op: Prepend, body: bodyValue},
	OpcodePrependQ:  {op: Prepend, body: bodyValue, quiet: true},
	OpcodeDelete:    {op: Delete, body: bodyKey},
	OpcodeDeleteQ:   {op: Delete, body: bodyKey, quiet: true},
	OpcodeIncr:      {op: Incr, extras: 20, body: bodyKey},
	OpcodeIncrQ:     {op: Incr, extras: 20, body: bodyKey, quiet: true},
	OpcodeDecr:      {op: Decr, extras: 20, body: bodyKey},
	OpcodeDecrQ:     {op: Decr, extras: 20, body: bodyKey, quiet: true},
	OpcodeTouch:     {op: Touch, extras: 4, body: bodyKey},
	OpcodeGat:       {op: Gat, extras: 4, body: bodyKey},
	OpcodeGatQ:      {op: Gat, extras: 4, body: bodyKey, quiet: true},
	OpcodeGatK:      {op: Gat, extras: 4, body: bodyKey, keyed: true},
	OpcodeGatKQ:     {op: Gat, extras: 4, body: bodyKey, keyed: true, quiet: true},
	OpcodeFlush:     {op: FlushAll, extras: 4, body: bodyOptional},
	OpcodeFlushQ:    {op: FlushAll, extras: 4, body: bodyOptional, quiet: true},
	OpcodeNoop:      {op: MetaNoop},
	OpcodeVersion:   {op: Version},
	OpcodeVerbosity: {op: Verbosity, extras: 4},
	OpcodeStat:      {op: Stats, body: bodyGroup},
	OpcodeQuit:      {op: Quit},
	OpcodeQuitQ:     {op: Quit, quiet: true},
	OpcodeSASLList:  {op: SASLList},
	OpcodeSASLAuth:  {op: SASLAuth, body: bodyValue},
	OpcodeSASLStep:  {op: SASLStep, body: bodyValue},
}

// Keyed reports whether the answer to o has the key.
func (o Opcode) Keyed() bool { return binaryOps[o].keyed }

// A Status is the result of a request in a binary answer.
type Status uint8

// The statuses, as in protocol_binary.h.
const (
	StatusOK             Status = 0x00
	StatusNotFound       Status = 0x01
	StatusExists         Status = 0x02
	StatusTooLarge       Status = 0x03
	StatusInvalid        Status = 0x04
	StatusNotStored      Status = 0x05
	StatusNotANumber     Status = 0x06
	StatusAuthError      Status = 0x20
	StatusAuthContinue   Status = 0x21
	StatusUnknownCommand Status = 0x81
	StatusOutOfMemory    Status = 0x82
)

// String returns the text in the body of memcached's answers with this status.
func (s Status) String() string {
	switch s {
	case StatusNotFound:
		return "Not found"
	case StatusExists:
		return "Data exists for key."
	case StatusTooLarge:
		return "Too large."
	case StatusInvalid:
		return "Invalid arguments"
	case StatusNotStored:
		return "Not stored."
	case StatusNotANumber:
		return "Non-numeric server-side value for incr or decr"
	case StatusAuthError:
		return "Auth failure."
	case StatusUnknownCommand:
		return "Unknown command"
	case StatusOutOfMemory:
		return "Out of memory"
	}
	return ""
}

// A BinaryAnswer is the header of an answer. Extras, key and value follow it, in this order.
type BinaryAnswer struct {
	Status      Status
	ExtrasBytes int
	KeyBytes    int
	ValueBytes  int
	CAS         uint64
}

// AppendBinary appends the header of an answer to r.
func AppendBinary(dst []byte, r *Request, a BinaryAnswer) []byte {
	var h [BinaryHeaderBytes]byte
	putBinary(&h, r, a)
	return append(dst, h[:]...)
}

func putBinary(h *[BinaryHeaderBytes]byte, r *Request, a BinaryAnswer) {
	h[0] = binaryAnswerMagic
	h[1] = byte(r.Opcode)
	binary.BigEndian.PutUint16(h[2:], uint16(a.KeyBytes))
	h[4] = byte(a.ExtrasBytes)
	binary.BigEndian.PutUint16(h[6:], uint16(a.Status))
	binary.BigEndian.PutUint32(h[8:], uint32(a.ExtrasBytes+a.KeyBytes+a.ValueBytes))
	binary.BigEndian.PutUint32(h[12:], r.Opaque)
	binary.BigEndian.PutUint64(h[16:], a.CAS)
}

// AppendBinaryStatus appends an answer that consists of a status and its text.
func AppendBinaryStatus(dst []byte, r *Request, s Status) []byte {
	return AppendBinaryText(dst, r, s, s.String())
}

// AppendBinaryText appends an answer whose body is text.
func AppendBinaryText(dst []byte, r *Request, s Status, text string) []byte {
	dst = AppendBinary(dst, r, BinaryAnswer{Status: s, ValueBytes: len(text)})
	return append(dst, text...)
}

// AppendBinaryValue appends the part before the value of an answer to a get: the header, the
// client's flags and, for keyed opcodes, the key. The value of valueBytes follows.
func AppendBinaryValue(dst []byte, r *Request, clientFlags uint32, valueBytes int, cas uint64) []byte {
	var h [BinaryHeaderBytes + 4]byte
	a := BinaryAnswer{ExtrasBytes: 4, ValueBytes: valueBytes, CAS: cas}
	if r.Opcode.Keyed() {
		a.KeyBytes = len(r.Key)
	}
	putBinary((*[BinaryHeaderBytes]byte)(h[:]), r, a)
	binary.BigEndian.PutUint32(h[BinaryHeaderBytes:], clientFlags)
	dst = append(dst, h[:]...)
	if a.KeyBytes > 0 {
		dst = append(dst, r.Key...)
	}
	return dst
}

// AppendBinaryMiss appends the answer to a get that misses. A quiet get has none.
func AppendBinaryMiss(dst []byte, r *Request) []byte {
	switch {
	case r.NoReply:
		return dst
	case r.Opcode.Keyed(): // the key replaces the text
		dst = AppendBinary(dst, r, BinaryAnswer{Status: StatusNotFound, KeyBytes: len(r.Key)})
		return append(dst, r.Key...)
	}
	return AppendBinaryStatus(dst, r, StatusNotFound)
}

// AppendBinaryUint appends the answer to incr and decr.
func AppendBinaryUint(dst []byte, r *Request, n, cas uint64) []byte {
	dst = AppendBinary(dst, r, BinaryAnswer{ValueBytes: 8, CAS: cas})
	return binary.BigEndian.AppendUint64(dst, n)
}
