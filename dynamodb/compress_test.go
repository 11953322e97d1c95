package dynamodb

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// encode returns a text in an HTTP content encoding.
func encode(t *testing.T, encoding, text string) string {
	t.Helper()
	var out bytes.Buffer
	var z io.WriteCloser
	switch encoding {
	case "gzip":
		z = gzip.NewWriter(&out)
	case "deflate":
		z = zlib.NewWriter(&out)
	case "raw":
		z, _ = flate.NewWriter(&out, flate.DefaultCompression)
	default:
		return text
	}
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// encodedRequest returns a request whose body is sent unchanged, with a Content-Encoding header.
func encodedRequest(op, encoding, body string) *http.Request {
	return request("POST", "/", body, "Content-Type", typeAmzJSON, "X-Amz-Target", tablesTarget+"."+op,
		"Content-Encoding", encoding,
		"X-Amz-Date", "x", "Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
}

func TestEncodedBodies(t *testing.T) {
	h := served(t)
	createTables(t, h)
	put := func(id string) string { return `{"TableName":"things","Item":{"id":{"S":"` + id + `"}}}` }
	long := put(strings.Repeat("a", 1000) + `"},"v":{"S":"` + strings.Repeat("v", 300_000))
	many := put(`a"},"v":{"S":"` + strings.Repeat("v", maxBodyBytes))
	whole := encode(t, "gzip", put("b"))
	for _, test := range []struct {
		name, encoding, body string
		want                 int
	}{
		{"gzip", "gzip", encode(t, "gzip", put("a")), 200},
		{"deflate", "deflate", encode(t, "deflate", put("a")), 200},
		{"deflate without zlib's frame", "deflate", encode(t, "raw", put("a")), 200},
		{"in capitals", " GZIP", encode(t, "gzip", put("a")), 200},
		{"identity", "identity", put("a"), 200},
		{"long", "gzip", encode(t, "gzip", long), 200},
		{"plain, but said to be gzip", "gzip", put("a"), 500},
		{"plain, but said to be deflate", "deflate", put("a"), 500},
		{"unknown", "br", put("a"), 500},
		{"two", "gzip, gzip", encode(t, "gzip", put("a")), 500},
		{"cut off", "gzip", whole[:len(whole)-4], 500},
		{"a bit wrong", "gzip", whole[:len(whole)-6] + "x" + whole[len(whole)-5:], 500},
		{"more behind it", "gzip", encode(t, "gzip", put("a")) + "more", 500},
		{"empty", "gzip", "", 400},
		{"a bomb", "gzip", encode(t, "gzip", many), 413},
		{"a bomb in deflate", "deflate", encode(t, "deflate", many), 413},
	} {
		for _, length := range []string{"known", "chunked"} {
			t.Run(test.name+" "+length, func(t *testing.T) {
				req := encodedRequest("PutItem", test.encoding, test.body)
				if length == "chunked" && test.body != "" {
					req.ContentLength = -1
				}
				res, body := send(t, h, req)
				if res.StatusCode != test.want {
					t.Errorf("got %d %.200s; want %d", res.StatusCode, body, test.want)
				}
				if test.want == 500 && !strings.Contains(body, "InternalServerError") {
					t.Errorf("got %s; want InternalServerError", body)
				}
			})
		}
	}
	if got := call(t, h, "GetItem", `{"TableName":"things","Key":{"id":{"S":"b"}}}`); got != `{}` {
		t.Errorf("got %s; want nothing of a body that was broken", got)
	}
	if h.memory.small.Load() != 0 || !h.memory.bodies.TryAcquire(h.memory.bodyBytes) ||
		!h.memory.values.TryAcquire(h.memory.valueBytes) {
		t.Error("got memory still taken; want all released")
	}
}

// The signature covers the body as it is sent, so it is checked before the body is decoded.
func TestSignatureOfAnEncodedBody(t *testing.T) {
	body := encode(t, "gzip", "{}")
	req := encodedRequest("DescribeLimits", "gzip", body)
	signAs(t, req, suiteKey, suiteSecret, body, "us-east-1", suiteTime)
	res, text := send(t, New(Options{
		Keys: map[string]string{suiteKey: suiteSecret},
		Now:  func() time.Time { return suiteTime },
	}), req)
	if res.StatusCode != http.StatusOK {
		t.Errorf("got %d %s; want 200", res.StatusCode, text)
	}
}

// Responses above 4 KB are compressed for clients that accept it. X-Amz-Crc32 is the checksum of
// the bytes that are sent.
func TestCompressedResponses(t *testing.T) {
	h := served(t)
	createTables(t, h)
	for id, bytes := range map[string]int{"short": 100, "long": 20_000} {
		call(t, h, "PutItem", fmt.Sprintf(`{"TableName":"things","Item":{"id":{"S":%q},"v":{"S":%q}}}`, id,
			strings.Repeat("v", bytes)))
	}
	for _, test := range []struct {
		id, accept string
		want       string
	}{
		{"long", "gzip", "gzip"}, {"long", "deflate, GZIP;q=0.5", "gzip"}, {"long", "*", "gzip"},
		{"long", "br, *;q=0.1", "gzip"},
		{"long", "", ""}, {"long", "identity", ""}, {"long", "gzip;q=0", ""}, {"long", "gzip; q=0.0, *", ""},
		{"long", "br", ""},
		{"short", "gzip", ""},
	} {
		req := encodedRequest("GetItem", "identity", `{"TableName":"things","Key":{"id":{"S":"`+test.id+`"}}}`)
		req.Header.Set("Accept-Encoding", test.accept)
		res, sent := send(t, h, req)
		if got := res.Header.Get("Content-Encoding"); got != test.want {
			t.Errorf("%s, Accept-Encoding %q: got %q; want %q", test.id, test.accept, got, test.want)
			continue
		}
		if got, want := res.Header.Get("X-Amz-Crc32"), strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(sent))),
			10); got != want {
			t.Errorf("%s, Accept-Encoding %q: got crc %s; want %s, of what was sent", test.id, test.accept, got, want)
		}
		text := sent
		if test.want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			text = string(plain)
			if len(sent) > len(text)/10 {
				t.Errorf("got %d bytes for %d; want far fewer", len(sent), len(text))
			}
		}
		if !strings.HasPrefix(text, `{"Item":{`) || !strings.Contains(text, `"id":{"S":"`+test.id+`"}`) {
			t.Errorf("%s, Accept-Encoding %q: got %.100s", test.id, test.accept, text)
		}
	}
}
