package transfer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// sign adds the headers of Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). The request is a POST to the root, without a query.
func (c *Client) sign(request *http.Request, body []byte) {
	o := &c.options
	now := o.Now().UTC()
	at, day := now.Format("20060102T150405Z"), now.Format("20060102")
	request.Header.Set("X-Amz-Date", at)
	names := []string{"content-type", "host", "x-amz-date"}
	if o.SessionToken != "" {
		request.Header.Set("X-Amz-Security-Token", o.SessionToken)
		names = append(names, "x-amz-security-token")
	}
	names = append(names, "x-amz-target")
	path := request.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var canonical strings.Builder
	canonical.WriteString("POST\n" + path + "\n\n")
	for _, name := range names {
		v := request.Header.Get(name)
		if name == "host" {
			v = request.URL.Host
		}
		canonical.WriteString(name + ":" + v + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + hexSHA256(body))
	scope := day + "/" + o.Region + "/dynamodb/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + at + "\n" + scope + "\n" + hexSHA256([]byte(canonical.String()))
	key := []byte("AWS4" + o.SecretKey)
	for _, part := range []string{day, o.Region, "dynamodb", "aws4_request"} {
		key = mac(key, part)
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+o.AccessKey+"/"+scope+
		", SignedHeaders="+signed+", Signature="+hex.EncodeToString(mac(key, toSign)))
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
