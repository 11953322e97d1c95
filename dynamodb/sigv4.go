package dynamodb

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

const (
	signatureAlgorithm = "AWS4-HMAC-SHA256"
	signatureService   = "dynamodb"
	signatureEnd       = "aws4_request"
	signatureSkew      = 15 * time.Minute
	signatureLongest   = 7 * 24 * time.Hour // validity of a signed query string
	isoBasic           = "20060102T150405Z"
)

// A signature holds what a request's signature states: its signer, time and scope, and what
// is signed.
type signature struct {
	algorithm     string
	credential    string // key/date/region/service/aws4_request
	signedHeaders string // names in lower case, sorted, separated by ;
	sum           string // hex
	date          string
	expires       string // seconds; only in a query string, may be ""
	path          string // the request's, escaped as it was sent
	query         url.Values
}

func signatureInvalid(format string, args ...any) error {
	return exceptionOf(coralService+"InvalidSignatureException", format, args...)
}

func signatureIncomplete(format string, args ...any) error {
	return exceptionOf(coralService+"IncompleteSignatureException", format, args...)
}

func exceptionOf(typ, format string, args ...any) error {
	return &wireError{status: http.StatusBadRequest, typ: typ, message: fmt.Sprintf(format, args...)}
}

// rootURL is the target of nearly all requests.
var rootURL = &url.URL{Path: "/"}

var errTarget = errors.New("the request's path is invalid")

// target returns the path and query as the client sent them: fasthttp's own are normalised.
func target(ctx *fasthttp.RequestCtx) (*url.URL, error) {
	raw := ctx.Request.Header.RequestURI()
	if len(raw) == 1 && raw[0] == '/' || ctx.IsConnect() {
		return rootURL, nil
	}
	parsed, err := url.ParseRequestURI(string(raw))
	if err != nil {
		return nil, errTarget // not err, which fault could mistake for a network error
	}
	return parsed, nil
}

// signatureOf reads the signature of a request from its header or its query string.
func signatureOf(ctx *fasthttp.RequestCtx) (s signature, err error) {
	requested, err := target(ctx)
	if err != nil {
		return s, err
	}
	s.path = requested.EscapedPath()
	if requested.RawQuery != "" {
		s.query = requested.Query()
	}
	header := string(ctx.Request.Header.Peek("Authorization"))
	inQuery := s.query.Has("X-Amz-Algorithm")
	switch {
	case header != "" && inQuery:
		return s, signatureInvalid("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
	case inQuery:
		return s, s.fromQuery()
	case !strings.HasPrefix(strings.TrimSpace(header), "AWS4-"):
		return s, exceptionOf(coralService+"MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	return s, s.fromHeader(header, &ctx.Request.Header)
}

// fromHeader reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func (s *signature) fromHeader(authorization string, header *fasthttp.RequestHeader) error {
	algorithm, rest, _ := cutAny(strings.TrimSpace(authorization))
	s.algorithm = algorithm
	for field := ""; rest != ""; {
		field, rest, _ = cutAny(rest)
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "Credential":
			s.credential = value
		case "SignedHeaders":
			s.signedHeaders = value
		case "Signature":
			s.sum = value
		}
	}
	s.date = cmp.Or(string(header.Peek("X-Amz-Date")), string(header.Peek("Date")))
	missing := ""
	for _, p := range [...]struct{ name, value string }{{"Credential", s.credential}, {"Signature", s.sum},
		{"SignedHeaders", s.signedHeaders}} {
		if p.value == "" {
			missing += "Authorization header requires '" + p.name + "' parameter. "
		}
	}
	if s.date == "" {
		missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	}
	if missing != "" {
		return signatureIncomplete("%sAuthorization=%s", missing, authorization)
	}
	return nil
}

// cutAny cuts s at its first comma or space.
func cutAny(s string) (before, after string, found bool) {
	if i := strings.IndexAny(s, ", "); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// fromQuery reads X-Amz-Algorithm=…&X-Amz-Credential=…
func (s *signature) fromQuery() error {
	missing := ""
	for _, p := range [...]struct {
		name string
		to   *string
	}{
		{"X-Amz-Algorithm", &s.algorithm}, {"X-Amz-Credential", &s.credential}, {"X-Amz-Signature", &s.sum},
		{"X-Amz-SignedHeaders", &s.signedHeaders}, {"X-Amz-Date", &s.date},
	} {
		if *p.to = s.query.Get(p.name); *p.to == "" {
			missing += "AWS query-string parameters must include '" + p.name + "'. "
		}
	}
	if missing != "" {
		return signatureIncomplete("%sRe-examine the query-string parameters.", missing)
	}
	s.expires = s.query.Get("X-Amz-Expires")
	return nil
}

// time returns when the request was signed, or an error if that is too far from now.
func (s *signature) time(now time.Time) (time.Time, error) {
	at, err := time.Parse(isoBasic, s.date)
	if err != nil {
		if at, err = http.ParseTime(s.date); err != nil {
			return at, signatureIncomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See "+
				"http://en.wikipedia.org/wiki/ISO_8601", s.date)
		}
	}
	at, now = at.UTC(), now.UTC()
	valid := signatureSkew
	if s.expires != "" {
		seconds, err := strconv.Atoi(s.expires)
		if valid = time.Duration(seconds) * time.Second; err != nil || seconds < 0 || valid > signatureLongest {
			return at, signatureIncomplete("X-Amz-Expires must be between 0 and %d seconds. Got '%s'",
				int(signatureLongest/time.Second), s.expires)
		}
	}
	if oldest := now.Add(-valid); at.Before(oldest) {
		return at, signatureInvalid("Signature expired: %s is now earlier than %s (%s - %d min.)",
			at.Format(isoBasic), oldest.Format(isoBasic), now.Format(isoBasic), int(valid/time.Minute))
	}
	if newest := now.Add(signatureSkew); at.After(newest) {
		return at, signatureInvalid("Signature not yet current: %s is still later than %s (%s + %d min.)",
			at.Format(isoBasic), newest.Format(isoBasic), now.Format(isoBasic), int(signatureSkew/time.Minute))
	}
	return at, nil
}

// sign signs a text with the key derived from secret for a scope date/region/service/aws4_request.
func sign(secret, scope, toSign string) []byte {
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hmacSHA256(key, part)
	}
	return hmacSHA256(key, toSign)
}

func hmacSHA256(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// canonicalRequest returns the canonical form of the request, whose hash the client signed; bodySum
// is in hex.
func canonicalRequest(ctx *fasthttp.RequestCtx, s signature, headers []string, bodySum string) string {
	var b strings.Builder
	b.WriteString(string(ctx.Method()) + "\n" + canonicalPath(s.path) + "\n" + canonicalQuery(s.query) + "\n")
	raw := ctx.Request.Header.RawHeaders()
	for _, name := range headers {
		b.WriteString(name + ":" + canonicalHeader(raw, name) + "\n")
	}
	b.WriteString("\n" + s.signedHeaders + "\n" + bodySum)
	return b.String()
}

// canonicalPath returns the path as it was sent, without . and .., and escaped once more.
func canonicalPath(escaped string) string {
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return escapeURI(clean, true)
}

// canonicalQuery returns the query without the signature, sorted by the escaped name, and then by
// the escaped value: a=2 comes before a1=1, though '1' is less than '='.
func canonicalQuery(query url.Values) string {
	type pair struct{ name, value string }
	var pairs []pair
	for name, values := range query {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, value := range values {
			pairs = append(pairs, pair{escapeURI(name, false), escapeURI(value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p.name + "=" + p.value
	}
	return strings.Join(joined, "&")
}

// canonicalHeader returns a header's values separated by commas, with runs of spaces reduced to
// one. It reads the lines that the client sent, because fasthttp keeps only one value of some
// headers.
func canonicalHeader(raw []byte, name string) string {
	var b strings.Builder
	inside, found := false, false
	for line := range bytes.Lines(raw) {
		value := line
		if folded := line[0] == ' ' || line[0] == '\t'; !folded {
			field, rest, ok := bytes.Cut(line, []byte(":"))
			if inside = ok && strings.EqualFold(string(field), name); inside && found {
				b.WriteByte(',')
			}
			found = found || inside
			value = rest
		} else if inside {
			b.WriteByte(' ')
		}
		if inside {
			b.Write(bytes.Join(bytes.Fields(value), []byte(" ")))
		}
	}
	return b.String()
}

// escapeURI escapes all but RFC 3986's unreserved characters.
func escapeURI(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~',
			keepSlash && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
