package dynamodb

import (
	"encoding/base64"
	"strconv"
	"sync"
	"time"

	"holdfast/item"
)

// A writer appends JSON. It adds the commas: each value and each name is preceded by one where JSON
// requires it.
type writer struct {
	buf []byte
}

// maxPooledResponse is the capacity in bytes up to which a response's buffer is reused.
const maxPooledResponse = 256 << 10

var writers = sync.Pool{New: func() any { return &writer{buf: make([]byte, 0, 4<<10)} }}

func newWriter() *writer {
	w := writers.Get().(*writer)
	w.buf = w.buf[:0]
	return w
}

// release returns the writer's memory for reuse. Its bytes must not be used any more.
func (w *writer) release() {
	if cap(w.buf) <= maxPooledResponse {
		writers.Put(w)
	}
}

// Close releases the writer.
func (w *writer) Close() error {
	w.release()
	return nil
}

// adopt makes a whole JSON text the writer's. Only a short one is copied.
func (w *writer) adopt(json []byte) {
	if len(json) > maxPooledResponse {
		w.buf = json
		return
	}
	w.buf = append(w.buf[:0], json...)
}

// separate appends a comma unless the buffer is empty or ends with {, [ or a colon. No value ends
// with one of those bytes.
func (w *writer) separate() {
	if n := len(w.buf); n > 0 {
		switch w.buf[n-1] {
		case '{', '[', ':':
		default:
			w.buf = append(w.buf, ',')
		}
	}
}

func (w *writer) beginObject() {
	w.separate()
	w.buf = append(w.buf, '{')
}

func (w *writer) endObject() { w.buf = append(w.buf, '}') }

func (w *writer) beginArray() {
	w.separate()
	w.buf = append(w.buf, '[')
}

func (w *writer) endArray() { w.buf = append(w.buf, ']') }

// name starts a member; its value must follow.
func (w *writer) name(name string) {
	w.str(name)
	w.buf = append(w.buf, ':')
}

func (w *writer) str(s string) {
	w.separate()
	w.buf = append(w.buf, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		w.buf = append(w.buf, s[start:i]...)
		start = i + 1
		w.escape(b)
	}
	w.buf = append(w.buf, s[start:]...)
	w.buf = append(w.buf, '"')
}

func (w *writer) escape(b byte) {
	const digits = "0123456789ABCDEF"
	switch b {
	case '"', '\\':
		w.buf = append(w.buf, '\\', b)
	case '\b':
		w.buf = append(w.buf, '\\', 'b')
	case '\f':
		w.buf = append(w.buf, '\\', 'f')
	case '\n':
		w.buf = append(w.buf, '\\', 'n')
	case '\r':
		w.buf = append(w.buf, '\\', 'r')
	case '\t':
		w.buf = append(w.buf, '\\', 't')
	default:
		w.buf = append(w.buf, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
	}
}

// raw writes a JSON value as it is.
func (w *writer) raw(json string) {
	w.separate()
	w.buf = append(w.buf, json...)
}

// base64 writes bytes.
func (w *writer) base64(s string) {
	w.separate()
	w.buf = append(w.buf, '"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, []byte(s))
	w.buf = append(w.buf, '"')
}

func (w *writer) int(v int64) {
	w.separate()
	w.buf = strconv.AppendInt(w.buf, v, 10)
}

// float writes a number that always shows that it isn't an integer: 1.0.
func (w *writer) float(v float64) {
	w.separate()
	start := len(w.buf)
	w.buf = strconv.AppendFloat(w.buf, v, 'f', -1, 64)
	for _, b := range w.buf[start:] {
		if b == '.' {
			return
		}
	}
	w.buf = append(w.buf, '.', '0')
}

func (w *writer) bool(v bool) {
	w.separate()
	w.buf = strconv.AppendBool(w.buf, v)
}

// time writes seconds since 1970 with three decimals.
func (w *writer) time(t time.Time) {
	w.separate()
	w.buf = strconv.AppendFloat(w.buf, float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func (w *writer) strField(name, v string) {
	w.name(name)
	w.str(v)
}

func (w *writer) intField(name string, v int64) {
	w.name(name)
	w.int(v)
}

func (w *writer) floatField(name string, v float64) {
	w.name(name)
	w.float(v)
}

func (w *writer) boolField(name string, v bool) {
	w.name(name)
	w.bool(v)
}

func (w *writer) timeField(name string, t time.Time) {
	w.name(name)
	w.time(t)
}

// itemField writes an item, or nothing if there is none.
func (w *writer) itemField(name string, it item.Item) {
	if it == nil {
		return
	}
	w.name(name)
	w.item(it)
}

// item writes attributes: {"id":{"S":"a"}}.
func (w *writer) item(it item.Item) {
	w.beginObject()
	for i := range it {
		w.name(it[i].Name)
		w.value(&it[i].Value)
	}
	w.endObject()
}

// value writes an AttributeValue: {"S":"a"}.
func (w *writer) value(v *item.Value) {
	w.beginObject()
	w.name(v.Type.String())
	switch v.Type {
	case item.S, item.N:
		w.str(v.Text)
	case item.B:
		w.base64(v.Text)
	case item.BOOL:
		w.bool(v.Bool)
	case item.NULL:
		w.bool(true)
	case item.SS, item.NS, item.BS:
		w.set(v)
	case item.L:
		w.beginArray()
		for i := range v.List {
			w.value(&v.List[i])
		}
		w.endArray()
	case item.M:
		w.item(v.Map)
	}
	w.endObject()
}

func (w *writer) set(v *item.Value) {
	w.beginArray()
	for _, s := range v.Elements() {
		if v.Type == item.BS {
			w.base64(s)
		} else {
			w.str(s)
		}
	}
	w.endArray()
}
