package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// sign adds the headers of Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).
func (c *Client) sign(ctx context.Context, request *http.Request, body []byte) error {
	o := &c.options
	credentials := aws.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey, SessionToken: o.SessionToken}
	sum := sha256.Sum256(body)
	err := c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "dynamodb", o.Region, o.Now())
	if err != nil {
		return fmt.Errorf("signing the request: %w", err)
	}
	return nil
}
