package dynamodb

import (
	"bytes"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

// maxPlainResponse is the length in bytes up to which a response isn't compressed even if its
// client accepts that, as in DynamoDB.
const maxPlainResponse = 4 << 10

var gzipWriters = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return z
}}

// compressed returns a writer that holds w's bytes compressed by gzip.
func (w *writer) compressed() *writer {
	to := newWriter()
	out := bytes.NewBuffer(to.buf)
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	z.Reset(out)
	_, err := z.Write(w.buf)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // writes to a buffer don't fail
	}
	to.buf = out.Bytes()
	return to
}

// acceptsGzip reports whether a response may be compressed: Accept-Encoding names gzip or *, with a
// weight other than 0.
func acceptsGzip(header *fasthttp.RequestHeader) bool {
	accepted, all := false, false
	for part := range strings.SplitSeq(string(header.Peek("Accept-Encoding")), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		weight, weighted := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		accepts := !weighted || strings.Trim(weight, "0.") != ""
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return accepts
		case "*":
			accepted, all = accepts, true
		}
	}
	return all && accepted
}
