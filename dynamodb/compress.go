package dynamodb

import (
	"bytes"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

// maxPlainAnswer is up to how many bytes an answer isn't compressed, though its client would take
// it so: as the service has it.
const maxPlainAnswer = 4 << 10

var gzipWriters = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // there is such a level
	}
	return z
}}

// compressed returns a writer that holds what w holds, compressed by gzip.
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
		panic(err) // a buffer takes all
	}
	to.buf = out.Bytes()
	return to
}

// acceptsGzip says whether an answer may be compressed by gzip: Accept-Encoding names it, or all,
// with a weight that isn't 0.
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
