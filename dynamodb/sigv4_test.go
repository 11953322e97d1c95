package dynamodb

import (
	"bufio"
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/valyala/fasthttp"
)

// AWS's published test suite for Signature Version 4 has these credentials and this time.
const (
	suiteKey    = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func TestPublishedVectors(t *testing.T) {
	const service, iam = "20150830/us-east-1/service/aws4_request", "20150830/us-east-1/iam/aws4_request"
	for _, test := range []struct {
		name, scope, method, target, headers, body, want string
	}{
		{"get-vanilla", service, "GET", "/", "Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query-order-key-case", service, "GET", "/?Param2=value2&Param1=value1",
			"Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z", "",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-unreserved", service, "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			"Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z", "",
			"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{
			"get-relative-relative",
			service,
			"GET",
			"/example1/example2/../..",
			"Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z",
			"",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		{"get-header-value-trim", service, "GET", "/",
			"Host:example.amazonaws.com|My-Header1: value1|My-Header2: \"a   b   c\"|X-Amz-Date:20150830T123600Z", "",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"post-vanilla", service, "POST", "/", "Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z", "",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-x-www-form-urlencoded", service, "POST", "/",
			"Content-Type:application/x-www-form-urlencoded|Host:example.amazonaws.com|X-Amz-Date:20150830T123600Z",
			"Param1=value1",
			"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		{"the IAM user guide's ListUsers", iam, "GET", "/?Action=ListUsers&Version=2010-05-08",
			"Content-Type:application/x-www-form-urlencoded; charset=utf-8|Host:iam.amazonaws.com|" +
				"X-Amz-Date:20150830T123600Z", "",
			"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			for header := range strings.SplitSeq(test.headers, "|") {
				name, _, _ := strings.Cut(header, ":")
				names = append(names, strings.ToLower(name))
			}
			ctx := parsed(t, test.method+" "+test.target+" HTTP/1.1\r\n"+strings.ReplaceAll(test.headers, "|", "\r\n")+
				"\r\n\r\n")
			requested, err := target(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s := signature{signedHeaders: strings.Join(names, ";"), path: requested.EscapedPath(), query: requested.Query()}
			canonical := canonicalRequest(ctx, s, names, hexSHA256(test.body))
			toSign := signatureAlgorithm + "\n" + suiteTime.Format(isoBasic) + "\n" + test.scope + "\n" + hexSHA256(canonical)
			if got := hex.EncodeToString(sign(suiteSecret, test.scope, toSign)); got != test.want {
				t.Errorf("signature of\n%s\ngot %s; want %s", canonical, got, test.want)
			}
		})
	}
}

// parsed returns a request that consists of a header.
func parsed(t *testing.T, text string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := new(fasthttp.RequestCtx)
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// AWS's suite has get-header-value-multiline and get-header-key-duplicate.
func TestCanonicalHeader(t *testing.T) {
	for _, test := range []struct{ headers, name, want string }{
		{"My-Header1: value2|My-Header1: value2|My-Header1: value1", "my-header1", "value2,value2,value1"},
		{"My-Header1: value1|  value2|\tvalue3|X: y", "my-header1", "value1 value2 value3"},
		{"My-Header1:   a   b   |MY-HEADER1:", "my-header1", "a b,"},
		{"My-Header: a|My-Header1: b", "my-header", "a"},
		{"Content-Type: a|Content-Type: b", "content-type", "a,b"},
		{"User-Agent: a|user-agent: b", "user-agent", "a,b"},
		{"X: y", "host", "example.org"},
		{"X: y", "absent", ""},
	} {
		ctx := parsed(t, "GET / HTTP/1.1\r\nHost: example.org\r\n"+strings.ReplaceAll(test.headers, "|", "\r\n")+"\r\n\r\n")
		if got := canonicalHeader(ctx.Request.Header.RawHeaders(), test.name); got != test.want {
			t.Errorf("%s of %s: got %q; want %q", test.name, test.headers, got, test.want)
		}
	}
}

// keyed returns an authenticator with the suite's key, at the suite's time.
func keyed() *authenticator {
	a := &authenticator{region: "us-east-1", now: func() time.Time { return suiteTime }}
	a.setKeys(map[string]string{suiteKey: suiteSecret})
	return a
}

const signedBody = `{"Limit":3}`

// signedRequest returns a request that the SDK has signed.
func signedRequest(t *testing.T, target, region string, at time.Time) *http.Request {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, target, strings.NewReader(signedBody))
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	req.Header.Set("Content-Type", typeAmzJSON)
	signAs(t, req, suiteKey, suiteSecret, signedBody, region, at)
	return req
}

// signAs signs a request with the SDK's signer.
func signAs(t *testing.T, req *http.Request, key, secret, body, region string, at time.Time) {
	t.Helper()
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hexSHA256(body), "dynamodb", region,
		at); err != nil {
		t.Fatal(err)
	}
}

func TestSignedBySDK(t *testing.T) {
	for _, target := range []string{"/", "/?b=2&a=1&a=0&c", "/a%20b/c?x=%2F+y&z=é"} {
		req := signedRequest(t, target, "us-east-1", suiteTime)
		if err := authenticate(keyed(), received(t, req), signedBody); err != nil {
			t.Errorf("%s: got %v; want no error", target, err)
		}
	}
}

func TestPresignedBySDK(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "/?X-Amz-Expires=600", strings.NewReader(signedBody))
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	credentials := aws.Credentials{AccessKeyID: suiteKey, SecretAccessKey: suiteSecret}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
	uri, _, err := signer.PresignHTTP(context.Background(), credentials, req, hexSHA256(signedBody), "dynamodb",
		"us-east-1", suiteTime)
	if err != nil {
		t.Fatal(err)
	}
	a := keyed()
	presigned := func() *fasthttp.RequestCtx {
		r := httptest.NewRequest(http.MethodPost, uri, strings.NewReader(signedBody))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
		return received(t, r)
	}
	if err := authenticate(a, presigned(), signedBody); err != nil {
		t.Fatalf("got %v; want no error", err)
	}
	if err := authenticate(a, presigned(), signedBody+" "); wireType(err) != "InvalidSignatureException" {
		t.Errorf("another body: got %v; want InvalidSignatureException", err)
	}
	a.now = func() time.Time { return suiteTime.Add(601 * time.Second) }
	if err := authenticate(a, presigned(), signedBody); wireType(err) != "InvalidSignatureException" {
		t.Errorf("after X-Amz-Expires: got %v; want InvalidSignatureException", err)
	}
}

// wireType returns a wireError's type without its namespace; "" for other errors.
func wireType(err error) string {
	if e, ok := err.(*wireError); ok {
		_, name, _ := strings.Cut(e.typ, "#")
		return name
	}
	return ""
}

func TestRefusedSignatures(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*authenticator, *http.Request)
		typ    string
		text   string // the message contains it
	}{
		{
			"another secret",
			func(a *authenticator, _ *http.Request) { a.setKeys(map[string]string{suiteKey: "x"}) },
			"InvalidSignatureException",
			"The request signature we calculated does not match",
		},
		{"unknown key", func(a *authenticator, _ *http.Request) { a.setKeys(map[string]string{"other": suiteSecret}) },
			"UnrecognizedClientException", "The security token included in the request is invalid."},
		{
			"another target",
			func(_ *authenticator, r *http.Request) { r.Header.Set("X-Amz-Target", "DynamoDB_20120810.DeleteTable") },
			"InvalidSignatureException",
			"does not match",
		},
		{
			"another host",
			func(_ *authenticator, r *http.Request) { r.Host = "elsewhere" },
			"InvalidSignatureException",
			"does not match",
		},
		{
			"another path",
			func(_ *authenticator, r *http.Request) { r.URL.Path = "/x" },
			"InvalidSignatureException",
			"does not match",
		},
		{"another region", func(a *authenticator, _ *http.Request) { a.region = "eu-west-1" }, "InvalidSignatureException",
			"Credential should be scoped to a valid region, not 'us-east-1'."},
		{"expired", func(a *authenticator, _ *http.Request) {
			a.now = func() time.Time { return suiteTime.Add(16 * time.Minute) }
		},
			"InvalidSignatureException",
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123700Z (20150830T125200Z - 15 min.)"},
		{"early", func(a *authenticator, _ *http.Request) {
			a.now = func() time.Time { return suiteTime.Add(-16 * time.Minute) }
		},
			"InvalidSignatureException", "Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z"},
		{
			"a date that isn't one",
			func(_ *authenticator, r *http.Request) { r.Header.Set("X-Amz-Date", "201") },
			"IncompleteSignatureException",
			"Date must be in ISO-8601 'basic format'. Got '201'.",
		},
		{"session token", func(_ *authenticator, r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") },
			"UnrecognizedClientException", "The security token included in the request is invalid"},
		{
			"host not signed",
			replaceAuthorization("host;", ""),
			"InvalidSignatureException",
			"'Host' must be a 'SignedHeader'",
		},
		{
			"target not signed",
			replaceAuthorization(";x-amz-target", ""),
			"InvalidSignatureException",
			"'X-Amz-Target' must be",
		},
		{
			"algorithm",
			replaceAuthorization("SHA256", "SHA25"),
			"IncompleteSignatureException",
			"Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25'",
		},
		{
			"credential",
			replaceAuthorization("/aws4_request", ""),
			"IncompleteSignatureException",
			"exactly 5 slash-delimited elements",
		},
		{"service", replaceAuthorization("/dynamodb/", "/s3/"), "InvalidSignatureException", "correct service: 'dynamodb'."},
		{"no hex", replaceAuthorization("Signature=", "Signature=zz"), "InvalidSignatureException", "does not match"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, req := keyed(), signedRequest(t, "/", "us-east-1", suiteTime)
			test.change(a, req)
			err := authenticate(a, received(t, req), signedBody)
			if got := wireType(err); got != test.typ || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %s: %v; want %s: %s", got, err, test.typ, test.text)
			}
		})
	}
}

func replaceAuthorization(old, replacement string) func(*authenticator, *http.Request) {
	return func(_ *authenticator, r *http.Request) {
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), old, replacement))
	}
}

// authenticate checks a request's signature in the two steps of a request.
func authenticate(a *authenticator, ctx *fasthttp.RequestCtx, body string) error {
	c, err := a.claimOf(ctx)
	if err != nil {
		return err
	}
	c.body.Write([]byte(body))
	return c.verify(ctx)
}
