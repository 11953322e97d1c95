package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A grpcClient calls a gRPC server without TLS: HTTP/2 from the first byte, and each message behind
// five bytes, as in gRPC's PROTOCOL-HTTP2.md. It has a connection of its own and one call at a time.
// Only unary calls are made, and messages aren't compressed.
type grpcClient struct {
	transport *http.Transport
	server    url.URL
	request   []byte // prefix and message; used again by the next call
	response  bytes.Buffer
}

const (
	grpcPrefixBytes = 5 // a byte for the compression, and the message's length
	grpcTimeout     = 60 * time.Second
	grpcMaxBytes    = 4 << 20 // of a response, as in gRPC's own clients
)

func newGRPCClient(address string) *grpcClient {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	return &grpcClient{
		transport: &http.Transport{Protocols: &only, DisableCompression: true, MaxConnsPerHost: 1},
		server:    url.URL{Scheme: "http", Host: address},
	}
}

func (c *grpcClient) close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// grpcHeader is that of all requests. The transport doesn't change it.
var grpcHeader = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}

// call sends a message to a method, "/package.Service/Method", and returns the message of the
// response, which is valid until the next call.
func (c *grpcClient) call(method string, message []byte) ([]byte, error) {
	c.request = append(c.request[:0], 0)
	c.request = binary.BigEndian.AppendUint32(c.request, uint32(len(message)))
	c.request = append(c.request, message...)
	at := c.server
	at.Path = method
	ctx, cancel := context.WithTimeout(context.Background(), grpcTimeout)
	defer cancel()
	request := (&http.Request{Method: http.MethodPost, URL: &at, Header: grpcHeader,
		Body: io.NopCloser(bytes.NewReader(c.request)), ContentLength: int64(len(c.request))}).WithContext(ctx)
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	c.response.Reset()
	if n, err := c.response.ReadFrom(io.LimitReader(response.Body, grpcMaxBytes+1)); err != nil {
		return nil, err
	} else if n > grpcMaxBytes {
		return nil, fmt.Errorf("%s: a response of more than %d bytes", method, grpcMaxBytes)
	}
	if err := grpcStatus(response); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	reply, err := grpcMessage(c.response.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return reply, nil
}

// grpcStatus checks what a server says of the call, once the body has been read: in trailers, or in
// the header of a response without a body. A response that says nothing was cut off.
func grpcStatus(r *http.Response) error {
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %s", r.Status)
	}
	if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/grpc") {
		return fmt.Errorf("a response of content type %q", kind)
	}
	of := r.Trailer
	if of.Get("Grpc-Status") == "" {
		of = r.Header
	}
	switch code := of.Get("Grpc-Status"); code {
	case "0":
		return nil
	case "":
		return errors.New("a response without grpc-status")
	default:
		return fmt.Errorf("grpc-status %s: %s", code, of.Get("Grpc-Message"))
	}
}

// grpcMessage returns the only message of a response's body.
func grpcMessage(body []byte) ([]byte, error) {
	if len(body) < grpcPrefixBytes {
		return nil, fmt.Errorf("a response of %d bytes has no message", len(body))
	}
	if body[0] != 0 {
		return nil, errors.New("a compressed message, which wasn't offered")
	}
	message := body[grpcPrefixBytes:]
	if length := binary.BigEndian.Uint32(body[1:]); uint64(length) != uint64(len(message)) {
		return nil, fmt.Errorf("a message of %d bytes should have %d", len(message), length)
	}
	return message, nil
}
