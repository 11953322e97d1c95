package dynamodb

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

const (
	signatureAlgorithm = "AWS4-HMAC-SHA256"
	signatureService   = "dynamodb"
	signatureEnd       = "aws4_request"
	signatureSkew      = 15 * time.Minute
	signatureLongest   = 7 * 24 * time.Hour // that a query string may be valid
	isoBasic           = "20060102T150405Z"
)

// A signature is what a request says of who signed it and how.
type signature struct {
	algorithm     string
	credential    string // key/date/region/service/aws4_request
	signedHeaders string // names in lower case, sorted, with ; between
	sum           string // hex
	date          string
	expires       string // seconds; of a query string, may be ""
	path          string // of the request, as it was escaped
	query         url.Values
}

// A claim is a signature by a key that there is, of which all but the sum of the body is known.
type claim struct {
	signature
	headers []string // that are signed
	at      time.Time
	scope   string // date/region/service/aws4_request
	secret  string
	body    hash.Hash // the body is written to it as it comes
	proven  string    // the sum of the body in hex for which the signature is right; "" if that isn't known yet
}

// claimOf returns what a request claims, before its body is read: the form of its signature, its time, its scope and its key are
// checked. The order of errors is the service's. Few clients say the body's sum in a header; of those the signature is checked, too.
func (h *Handler) claimOf(ctx *fasthttp.RequestCtx) (c claim, err error) {
	if c.signature, err = signatureOf(ctx); err != nil {
		return c, err
	}
	if c.at, err = c.time(h.now()); err != nil {
		return c, err
	}
	c.headers = strings.Split(c.signedHeaders, ";")
	for _, must := range []string{"Host", "X-Amz-Target"} {
		if !slices.Contains(c.headers, strings.ToLower(must)) {
			return c, signatureInvalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", must)
		}
	}
	if c.algorithm != signatureAlgorithm {
		return c, signatureIncomplete("Unsupported AWS 'algorithm': '%s' (only %s for now). ", c.algorithm, signatureAlgorithm)
	}
	if c.scope, c.secret, err = h.secret(c.signature, c.at); err != nil {
		return c, err
	}
	c.body = sha256.New()
	sum := string(ctx.Request.Header.Peek("X-Amz-Content-Sha256"))
	if raw, err := hex.DecodeString(sum); err == nil && len(raw) == sha256.Size && slices.Contains(c.headers, "x-amz-content-sha256") {
		if err := c.check(ctx, sum); err != nil {
			return c, err
		}
		c.proven = sum
	}
	return c, nil
}

// verify checks the signature of a request whose body has been written to c.body.
func (c *claim) verify(ctx *fasthttp.RequestCtx) error {
	if sum := hex.EncodeToString(c.body.Sum(nil)); sum != c.proven {
		if err := c.check(ctx, sum); err != nil {
			return err
		}
	}
	if len(ctx.Request.Header.Peek("X-Amz-Security-Token")) > 0 || c.query.Has("X-Amz-Security-Token") {
		return exceptionOf(coralService+"UnrecognizedClientException", "The security token included in the request is invalid")
	}
	return nil
}

// check says whether the signature is that of a body with a sum, in hex.
func (c *claim) check(ctx *fasthttp.RequestCtx, sum string) error {
	canonical := canonicalRequest(ctx, c.signature, c.headers, sum)
	toSign := signatureAlgorithm + "\n" + c.at.Format(isoBasic) + "\n" + c.scope + "\n" + hexSHA256(canonical)
	want := sign(c.secret, c.scope, toSign)
	if got, err := hex.DecodeString(c.sum); err != nil || !hmac.Equal(got, want) {
		return signatureInvalid("The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n"+
			"The Canonical String for this request should have been\n'%s'\n\nThe String-to-Sign should have been\n'%s'\n", canonical, toSign)
	}
	return nil
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

// rootURL is what nearly all requests ask for.
var rootURL = &url.URL{Path: "/"}

var errTarget = errors.New("the path isn't one")

// target returns the path and query that a client asked for, as it sent them: fasthttp's own are cleaned.
func target(ctx *fasthttp.RequestCtx) (*url.URL, error) {
	raw := ctx.Request.Header.RequestURI()
	if len(raw) == 1 && raw[0] == '/' || ctx.IsConnect() {
		return rootURL, nil
	}
	parsed, err := url.ParseRequestURI(string(raw))
	if err != nil {
		return nil, errTarget // not err, which would pass for one of the network
	}
	return parsed, nil
}

// signatureOf reads the signature of a request from its header or its query string.
func signatureOf(ctx *fasthttp.RequestCtx) (s signature, err error) {
	asked, err := target(ctx)
	if err != nil {
		return s, err
	}
	s.path = asked.EscapedPath()
	if asked.RawQuery != "" {
		s.query = asked.Query()
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
	for _, p := range [...]struct{ name, value string }{{"Credential", s.credential}, {"Signature", s.sum}, {"SignedHeaders", s.signedHeaders}} {
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

// time is when the request was signed, if that is near enough to now.
func (s *signature) time(now time.Time) (time.Time, error) {
	at, err := time.Parse(isoBasic, s.date)
	if err != nil {
		if at, err = http.ParseTime(s.date); err != nil {
			return at, signatureIncomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", s.date)
		}
	}
	at, now = at.UTC(), now.UTC()
	valid := signatureSkew
	if s.expires != "" {
		seconds, err := strconv.Atoi(s.expires)
		if valid = time.Duration(seconds) * time.Second; err != nil || seconds < 0 || valid > signatureLongest {
			return at, signatureIncomplete("X-Amz-Expires must be between 0 and %d seconds. Got '%s'", int(signatureLongest/time.Second), s.expires)
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

// secret returns the scope of a signature, without its key, and the secret of the key.
func (h *Handler) secret(s signature, at time.Time) (scope, secret string, err error) {
	parts := strings.Split(strings.TrimRight(s.credential, "/"), "/")
	if len(parts) != 5 {
		return "", "", signatureIncomplete("Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/term, got '%s'", s.credential)
	}
	wrong := ""
	if parts[2] != h.region {
		wrong += "Credential should be scoped to a valid region, not '" + parts[2] + "'. "
	}
	if parts[3] != signatureService {
		wrong += "Credential should be scoped to correct service: '" + signatureService + "'. "
	}
	if parts[4] != signatureEnd {
		wrong += "Credential should be scoped with a valid terminator: '" + signatureEnd + "', not '" + parts[4] + "'. "
	}
	if day := at.Format("20060102"); parts[1] != day {
		wrong += "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			parts[1] + "' != '" + day + "', from '" + at.Format(isoBasic) + "'."
	}
	if wrong != "" {
		return "", "", signatureInvalid("%s", strings.TrimSuffix(wrong, " "))
	}
	secret, ok := (*h.keys.Load())[parts[0]]
	if !ok {
		return "", "", exceptionOf(coralService+"UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	return strings.Join(parts[1:], "/"), secret, nil
}

// sign computes the signature of a text with the key that belongs to a scope date/region/service/aws4_request.
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

// canonicalRequest is what a client has hashed of its request, bodySum in hex.
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

// canonicalPath is a path as it came, without . and .., and escaped once more.
func canonicalPath(escaped string) string {
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return escapeURI(clean, true)
}

// canonicalQuery is the query sorted by name and value, without the signature.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, value := range values {
			pairs = append(pairs, escapeURI(name, false)+"="+escapeURI(value, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// canonicalHeader is a header's values with commas between, and no two spaces on end. It reads the lines that the client sent: of some
// headers fasthttp keeps but one value.
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
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', keepSlash && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
