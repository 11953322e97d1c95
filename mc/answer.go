package mc

import (
	"encoding/base64"
	"strconv"
)

// The answers of the classic commands.
const (
	Stored    = "STORED\r\n"
	NotStored = "NOT_STORED\r\n"
	Exists    = "EXISTS\r\n"
	NotFound  = "NOT_FOUND\r\n"
	Deleted   = "DELETED\r\n"
	Touched   = "TOUCHED\r\n"
	OK        = "OK\r\n"
	End       = "END\r\n"

	CRLF = "\r\n"
)

// The codes at the start of meta answers. Flags and CRLF follow; after VA, a space and the value's
// length come first.
const (
	HD = "HD"
	VA = "VA"
	EN = "EN"
	NF = "NF"
	NS = "NS"
	EX = "EX"
	MN = "MN"
	ME = "ME"
)

// Errors found when a request is served. See doc/protocol.txt, "Error strings".
const (
	BadCommand    = "ERROR\r\n"
	BadLine       = "CLIENT_ERROR bad command line format\r\n"
	NotANumber    = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
	TooLarge      = "SERVER_ERROR object too large for cache\r\n"
	OutOfMemory   = "SERVER_ERROR out of memory storing object\r\n"
	NoMemoryDelta = "SERVER_ERROR out of memory\r\n" // incr, decr and ma
)

// Errors found when a request is decoded.
const (
	faultCommand        = BadCommand
	faultLine           = BadLine
	faultDelete         = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
	faultBlock          = "CLIENT_ERROR bad data chunk\r\n"
	faultExptime        = "CLIENT_ERROR invalid exptime argument\r\n"
	faultDelta          = "CLIENT_ERROR invalid numeric delta argument\r\n"
	faultFlush          = "CLIENT_ERROR flush_all not allowed\r\n"
	faultFlags          = "CLIENT_ERROR options flags are too long\r\n"
	faultFlag           = "CLIENT_ERROR invalid flag\r\n"
	faultDuplicate      = "CLIENT_ERROR duplicate flag\r\n"
	faultToken          = "CLIENT_ERROR bad token in command line format\r\n"
	faultBase64         = "CLIENT_ERROR error decoding key\r\n"
	faultOpaque         = "CLIENT_ERROR opaque token too long\r\n"
	faultInitial        = "CLIENT_ERROR invalid numeric initial value\r\n"
	faultMetaDelta      = "CLIENT_ERROR invalid numeric delta value\r\n"
	faultSetMode        = "CLIENT_ERROR invalid mode for ms M token\r\n"
	faultArithmetic     = "CLIENT_ERROR invalid or duplicate flag\r\n"
	faultArithmeticMode = "CLIENT_ERROR invalid mode for ma M token\r\n"
)

// AppendClientError appends a line that says what is wrong with a request.
func AppendClientError(dst []byte, text string) []byte {
	return appendLine(dst, "CLIENT_ERROR ", text)
}

// AppendServerError appends a line that says why the server can't serve a request.
func AppendServerError(dst []byte, text string) []byte {
	return appendLine(dst, "SERVER_ERROR ", text)
}

func appendLine(dst []byte, kind, text string) []byte {
	dst = append(dst, kind...)
	dst = append(dst, text...)
	return append(dst, CRLF...)
}

// AppendValue appends the line before a value of valueBytes that get or gat found. The value and
// CRLF follow, and End after the line's last key.
func AppendValue(dst, key []byte, clientFlags uint32, valueBytes int) []byte {
	return append(appendValue(dst, key, clientFlags, valueBytes), CRLF...)
}

// AppendValueCAS is AppendValue for gets and gats.
func AppendValueCAS(dst, key []byte, clientFlags uint32, valueBytes int, cas uint64) []byte {
	dst = append(appendValue(dst, key, clientFlags, valueBytes), ' ')
	return append(AppendUint(dst, cas), CRLF...)
}

func appendValue(dst, key []byte, clientFlags uint32, valueBytes int) []byte {
	dst = append(dst, "VALUE "...)
	dst = append(dst, key...)
	dst = append(dst, ' ')
	dst = AppendUint(dst, uint64(clientFlags))
	dst = append(dst, ' ')
	return AppendUint(dst, uint64(valueBytes))
}

// AppendMetaValue appends the start of a meta command's answer with a value of valueBytes: "VA 5".
// Flags, CRLF, the value and CRLF follow.
func AppendMetaValue(dst []byte, valueBytes int) []byte {
	return AppendUint(append(dst, "VA "...), uint64(valueBytes))
}

// AppendMetaUint appends a flag with a number to a meta answer: " s5".
func AppendMetaUint(dst []byte, flag byte, n uint64) []byte {
	return AppendUint(append(dst, ' ', flag), n)
}

// AppendMetaKey appends the k flag of a meta answer: " kKEY", or " kBASE64 b" for a binary key.
func AppendMetaKey(dst, key []byte, binary bool) []byte {
	return appendKey(append(dst, " k"...), key, binary, " b")
}

// appendKey appends the key; a binary key as base64, followed by mark.
func appendKey(dst, key []byte, binary bool, mark string) []byte {
	if !binary {
		return append(dst, key...)
	}
	dst = base64.StdEncoding.AppendEncode(dst, key)
	return append(dst, mark...)
}

// AppendUint appends n in decimal.
func AppendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
