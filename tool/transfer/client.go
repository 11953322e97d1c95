package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"holdfast"
)

// Options are a Client's options.
type Options struct {
	Endpoint     string // URL
	Region       string
	AccessKey    string
	SecretKey    string
	SessionToken string        // "" is none
	Timeout      time.Duration // of one request; default 30 s
	Retries      int           // of a request that failed because the server is busy or didn't respond; default 10
	Now          func() time.Time
}

// FromEnvironment returns options with the region and the credentials of the environment, by the
// names that AWS's tools use. Their defaults are good enough for a server that doesn't check them.
func FromEnvironment(endpoint string) Options {
	first := func(names ...string) string {
		for _, name := range names[:len(names)-1] {
			if v := os.Getenv(name); v != "" {
				return v
			}
		}
		return names[len(names)-1]
	}
	return Options{
		Endpoint:     endpoint,
		Region:       first("AWS_REGION", "AWS_DEFAULT_REGION", "us-east-1"),
		AccessKey:    first("AWS_ACCESS_KEY_ID", "holdfast"),
		SecretKey:    first("AWS_SECRET_ACCESS_KEY", "holdfast"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
}

// A Client calls the DynamoDB API of one server.
type Client struct {
	options Options
	http    http.Client
	signer  *v4.Signer
}

// NewClient returns a client, which connects when it is used.
func NewClient(o Options) (*Client, error) {
	if !strings.Contains(o.Endpoint, "://") {
		o.Endpoint = "http://" + o.Endpoint
	}
	if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q: want a URL such as http://127.0.0.1:8000", o.Endpoint)
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Retries == 0 {
		o.Retries = 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{options: o, signer: v4.NewSigner(), http: http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: MaxConnections,
			IdleConnTimeout: time.Minute},
	}}, nil
}

// A ServerError is an error response of the server.
type ServerError struct {
	Status  int
	Type    string // without the namespace before its #
	Message string
}

func (e *ServerError) Error() string {
	if e.Message == "" {
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// Is reports whether the error is of a kind: Overloaded if the request may be repeated, NotFound,
// or Invalid for all others.
func (e *ServerError) Is(target error) bool {
	switch {
	case e.busy():
		return target == holdfast.Overloaded
	case e.Type == "ResourceNotFoundException":
		return target == holdfast.NotFound
	}
	return target == holdfast.Invalid
}

// busy reports whether the server may accept the request later.
func (e *ServerError) busy() bool {
	switch e.Type {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"TransactionInProgressException":
		return true
	}
	return e.Status >= 500
}

// call runs an operation. It repeats a request that the server was too busy for, or that got no
// response: every operation that this package uses may be executed twice.
func (c *Client) call(ctx context.Context, operation string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		err := c.once(ctx, operation, body, answer)
		var fault *ServerError
		if err == nil || attempt == c.options.Retries || errors.As(err, &fault) && !fault.busy() {
			return err
		}
		if wait(ctx, attempt) != nil {
			return err
		}
	}
}

// The wait before an attempt is repeated is random, up to firstWait, twice that, …, lastWait.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// wait waits after the given attempt, counted from 0, before the next one. Its error is the
// context's.
func wait(ctx context.Context, attempt int) error {
	longest := min(firstWait<<min(attempt, 10), lastWait)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// maxResponseBytes bounds what is read of one response; those of the API are at most 16 MiB of
// items, which are longer as JSON.
const maxResponseBytes = 256 << 20

// once sends one request and decodes the response into answer; nil: it has nothing to decode.
func (c *Client) once(ctx context.Context, operation string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.options.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	if err := c.sign(ctx, request, body); err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return serverError(response.StatusCode, text)
	}
	if answer == nil {
		return nil // TagResource and UntagResource answer without a body
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s: the server's response isn't JSON: %w", operation, err)
	}
	return nil
}

func serverError(status int, text []byte) error {
	var body struct {
		Type    string `json:"__type"`
		Message string // also message: names are found in any case
	}
	if json.Unmarshal(text, &body) != nil || body.Type == "" {
		return &ServerError{Status: status, Type: fmt.Sprintf("HTTP status %d", status)}
	}
	return &ServerError{status, body.Type[strings.LastIndexByte(body.Type, '#')+1:], body.Message}
}
