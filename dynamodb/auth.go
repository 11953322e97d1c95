package dynamodb

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// An authenticator checks signatures against the keys.
type authenticator struct {
	region string
	now    func() time.Time
	keys   atomic.Pointer[map[string]string] // access key → secret; never nil once New has returned
}

// setKeys replaces the keys for later requests. The caller must not change the map afterwards.
func (a *authenticator) setKeys(keys map[string]string) { a.keys.Store(&keys) }

// keyed reports whether signatures are checked; otherwise any credentials are accepted.
func (a *authenticator) keyed() bool { return len(*a.keys.Load()) > 0 }

// A claim is a signature by a known key, of which everything has been checked but the hash of the
// body.
type claim struct {
	signature
	headers []string // the signed ones
	at      time.Time
	scope   string // date/region/service/aws4_request
	secret  string
	body    hash.Hash // hashes the body while it is read
	proven  string    // the body's hash in hex for which the signature is right; "" if not yet known
}

// keyed reports whether the request is to be checked. The zero claim isn't.
func (c *claim) keyed() bool { return c.body != nil }

// claimOf checks what can be checked before the body is read: the signature's form, time, scope and
// key. Errors are reported in DynamoDB's order. A few clients send the body's hash in a header;
// their signature is checked here too.
func (a *authenticator) claimOf(ctx *fasthttp.RequestCtx) (c claim, err error) {
	if c.signature, err = signatureOf(ctx); err != nil {
		return c, err
	}
	if c.at, err = c.time(a.now()); err != nil {
		return c, err
	}
	c.headers = strings.Split(c.signedHeaders, ";")
	for _, must := range []string{"Host", "X-Amz-Target"} {
		if !slices.Contains(c.headers, strings.ToLower(must)) {
			return c, signatureInvalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", must)
		}
	}
	if c.algorithm != signatureAlgorithm {
		return c, signatureIncomplete("Unsupported AWS 'algorithm': '%s' (only %s for now). ", c.algorithm,
			signatureAlgorithm)
	}
	if c.scope, c.secret, err = a.secret(c.signature, c.at); err != nil {
		return c, err
	}
	c.body = sha256.New()
	sum := string(ctx.Request.Header.Peek("X-Amz-Content-Sha256"))
	if raw, err := hex.DecodeString(sum); err == nil && len(raw) == sha256.Size &&
		slices.Contains(c.headers, "x-amz-content-sha256") {
		if err := c.check(ctx, sum); err != nil {
			return c, err
		}
		c.proven = sum
	}
	return c, nil
}

// verify checks the signature of a request whose body has been written to c.body.
func (c *claim) verify(ctx *fasthttp.RequestCtx) error {
	if !c.keyed() {
		return nil
	}
	if sum := hex.EncodeToString(c.body.Sum(nil)); sum != c.proven {
		if err := c.check(ctx, sum); err != nil {
			return err
		}
	}
	if len(ctx.Request.Header.Peek("X-Amz-Security-Token")) > 0 || c.query.Has("X-Amz-Security-Token") {
		return exceptionOf(coralService+"UnrecognizedClientException",
			"The security token included in the request is invalid")
	}
	return nil
}

// check reports whether the signature is right for a body whose SHA-256 is sum, in hex.
func (c *claim) check(ctx *fasthttp.RequestCtx, sum string) error {
	canonical := canonicalRequest(ctx, c.signature, c.headers, sum)
	toSign := signatureAlgorithm + "\n" + c.at.Format(isoBasic) + "\n" + c.scope + "\n" + hexSHA256(canonical)
	want := sign(c.secret, c.scope, toSign)
	if got, err := hex.DecodeString(c.sum); err != nil || !hmac.Equal(got, want) {
		return signatureInvalid("The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n"+
			"The Canonical String for this request should have been\n'%s'\n\nThe String-to-Sign should have been\n'%s'\n",
			canonical, toSign)
	}
	return nil
}

// secret returns the scope of a signature without its access key, and the secret of that key.
func (a *authenticator) secret(s signature, at time.Time) (scope, secret string, err error) {
	parts := strings.Split(strings.TrimRight(s.credential, "/"), "/")
	if len(parts) != 5 {
		return "", "", signatureIncomplete("Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/term, got '%s'", s.credential)
	}
	wrong := ""
	if parts[2] != a.region {
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
	secret, ok := (*a.keys.Load())[parts[0]]
	if !ok {
		return "", "", exceptionOf(coralService+"UnrecognizedClientException",
			"The security token included in the request is invalid.")
	}
	return strings.Join(parts[1:], "/"), secret, nil
}
