package dynamodb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Every part of a request that its signature covers is checked: a change of any of them is refused.
func TestTamperedRequests(t *testing.T) {
	const body = `{"Limit":3}`
	signed := func() *http.Request {
		req := httptest.NewRequest(http.MethodPost, "/some/path?a=1&b=%2F", strings.NewReader(body))
		req.Header.Set("X-Amz-Target", tablesTarget+".ListTables")
		req.Header.Set("Content-Type", typeAmzJSON)
		req.Header.Set("X-Amz-Meta-One", "one value")
		req.Header.Set("X-Amz-Meta-Two", "two")
		signAs(t, req, suiteKey, suiteSecret, body, "us-east-1", suiteTime)
		return req
	}
	refused := func(what string, change func(*http.Request) (body string)) {
		t.Helper()
		req := signed()
		if got := change(req); authenticate(keyed(), received(t, req), got) == nil {
			t.Errorf("%s: got no error; want the request refused", what)
		}
	}
	header := func(change func(http.Header)) func(*http.Request) string {
		return func(r *http.Request) string { change(r.Header); return body }
	}
	if err := authenticate(keyed(), received(t, signed()), body); err != nil {
		t.Fatalf("unchanged: got %v; want no error", err)
	}
	refused("method", func(r *http.Request) string { r.Method = http.MethodPut; return body })
	refused("path", func(r *http.Request) string { r.URL.Path = "/some/patH"; return body })
	refused("query's value", func(r *http.Request) string { r.URL.RawQuery = "a=2&b=%2F"; return body })
	refused("query's name", func(r *http.Request) string { r.URL.RawQuery = "A=1&b=%2F"; return body })
	refused("query", func(r *http.Request) string { r.URL.RawQuery = "a=1"; return body })
	refused("host", func(r *http.Request) string { r.Host = "example.org"; return body })
	for i := range body {
		refused(fmt.Sprint("body's byte ", i), func(*http.Request) string {
			return body[:i] + string(body[i]^1) + body[i+1:]
		})
	}
	refused("body's length", func(*http.Request) string { return body + "\n" })
	authorization := signed().Header.Get("Authorization")
	_, names, _ := strings.Cut(authorization, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for name := range strings.SplitSeq(names, ";") {
		if name == "host" || name == "content-length" { // of the request itself
			continue
		}
		if signed().Header.Get(name) == "" {
			t.Fatalf("%s is signed, but isn't in the request", name)
		}
		refused(name+"'s value", header(func(h http.Header) { h.Set(name, h.Get(name)+"x") }))
		refused("a second "+name, header(func(h http.Header) { h.Add(name, "x") }))
		refused("no "+name, header(func(h http.Header) { h.Del(name) }))
		refused(name+" not signed", header(func(h http.Header) {
			h.Set("Authorization", strings.Replace(strings.Replace(authorization, ";"+name, "", 1), name+";", "", 1))
		}))
	}
	at := strings.Index(authorization, "Signature=") + len("Signature=")
	for i := at; i < len(authorization); i++ {
		digit := "0"
		if authorization[i] == '0' {
			digit = "1"
		}
		refused(fmt.Sprint("signature's digit ", i-at), header(func(h http.Header) {
			h.Set("Authorization", authorization[:i]+digit+authorization[i+1:])
		}))
	}
	refused("signature's length", header(func(h http.Header) {
		h.Set("Authorization", authorization[:len(authorization)-2])
	}))
	for old, replacement := range map[string]string{
		suiteKey: "AKIDEXAMPLF", "/20150830/": "/20150831/", "/us-east-1/": "/us-east-2/", "/dynamodb/": "/dynamodbx/",
		"/aws4_request": "/aws5_request", "content-type;host": "host;content-type",
	} {
		refused(old, header(func(h http.Header) {
			h.Set("Authorization", strings.Replace(authorization, old, replacement, 1))
		}))
	}
}

// The clocks of a client and the server may differ by signatureSkew, and not by a second more.
func TestClockSkew(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration // of the server's clock
		valid bool
	}{
		{0, true}, {signatureSkew, true}, {-signatureSkew, true}, {signatureSkew + time.Second, false},
		{-signatureSkew - time.Second, false}, {24 * time.Hour, false}, {-24 * time.Hour, false},
	} {
		a := keyed()
		a.now = func() time.Time { return suiteTime.Add(c.ahead) }
		err := authenticate(a, received(t, signedRequest(t, "/", "us-east-1", suiteTime)), signedBody)
		if (err == nil) != c.valid || err != nil && wireType(err) != "InvalidSignatureException" {
			t.Errorf("server %v ahead: got %v; want valid %v", c.ahead, err, c.valid)
		}
	}
	// around midnight, the scope has the day of the request's time
	late := time.Date(2015, 8, 30, 23, 59, 59, 0, time.UTC)
	a := keyed()
	a.now = func() time.Time { return late.Add(2 * time.Second) }
	if err := authenticate(a, received(t, signedRequest(t, "/", "us-east-1", late)), signedBody); err != nil {
		t.Errorf("signed yesterday, two seconds ago: got %v; want no error", err)
	}
}

// The validity of a signed query string is its X-Amz-Expires, which has limits of its own.
func TestExpiry(t *testing.T) {
	for _, c := range []struct {
		expires string
		age     time.Duration
		want    string // the error's type
	}{
		{"60", time.Minute, ""}, {"60", time.Minute + time.Second, "InvalidSignatureException"},
		{"604800", 7 * 24 * time.Hour, ""}, {"604800", 7*24*time.Hour + time.Second, "InvalidSignatureException"},
		{"0", 0, ""}, {"0", time.Second, "InvalidSignatureException"},
		{"60", -signatureSkew, ""}, {"60", -signatureSkew - time.Second, "InvalidSignatureException"},
		{"604801", 0, "IncompleteSignatureException"}, {"-1", 0, "IncompleteSignatureException"},
		{"soon", 0, "IncompleteSignatureException"}, {"1e3", 0, "IncompleteSignatureException"},
		{"99999999999999999999", 0, "IncompleteSignatureException"},
	} {
		s := signature{date: suiteTime.Format(isoBasic), expires: c.expires}
		if _, err := s.time(suiteTime.Add(c.age)); wireType(err) != c.want {
			t.Errorf("X-Amz-Expires %s after %v: got %v; want %q", c.expires, c.age, err, c.want)
		}
	}
}

// The signature covers the bytes of a body as they are sent, however they are encoded and sent.
func TestSignaturesOfSentBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	h := New(Options{Keys: map[string]string{suiteKey: suiteSecret}, Now: func() time.Time { return suiteTime }})
	for _, encoding := range []string{"identity", "gzip", "deflate"} {
		for _, length := range []int{2, smallBody - 1, smallBody + 1, 200_000} {
			plain := "{" + strings.Repeat(" ", length-2) + "}"
			sent := plain
			if encoding != "identity" {
				sent = encode(t, encoding, plain)
			}
			for _, pieces := range []bool{false, true} {
				ask := func(signed string) int {
					req := encodedRequest("DescribeLimits", encoding, sent)
					if pieces {
						req.ContentLength = -1 // in chunks
						req.Body = pieceReader{bytes.NewReader([]byte(sent)), r}
					}
					signAs(t, req, suiteKey, suiteSecret, signed, "us-east-1", suiteTime)
					res, _ := send(t, h, req)
					return res.StatusCode
				}
				what := fmt.Sprintf("%s, %d bytes, chunked %v", encoding, length, pieces)
				if got := ask(sent); got != http.StatusOK {
					t.Errorf("%s: got %d; want 200", what, got)
				}
				if got := ask(sent + " "); got != http.StatusBadRequest {
					t.Errorf("%s, another body signed: got %d; want 400", what, got)
				}
				if encoding != "identity" {
					if got := ask(plain); got != http.StatusBadRequest {
						t.Errorf("%s, signed before the encoding: got %d; want 400", what, got)
					}
				}
			}
		}
	}
}

// A pieceReader reads random pieces.
type pieceReader struct {
	*bytes.Reader
	r *rand.Rand
}

func (p pieceReader) Read(b []byte) (int, error) { return p.Reader.Read(b[:1+p.r.IntN(len(b))]) }

func (pieceReader) Close() error { return nil }
