package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

// A dynamoClient is a connection to a server of DynamoDB's API, with one request at a time. It
// takes as little processor time as possible, since it shares the processors with the server. So it
// doesn't sign requests, which servers that check no signatures accept.
type dynamoClient struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte // the bytes to send
	body    []byte // of the last response
	token   []byte // what requests may not be answered older than, which each response renews; none if empty
}

const (
	dynamoTimeout    = 60 * time.Second
	maxResponseBytes = 64 << 20 // DynamoDB's have at most 16 MB
)

func dialDynamo(address string) (*dynamoClient, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &dynamoClient{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (c *dynamoClient) close() error { return c.conn.Close() }

// ask sends one request and returns the response's body, which is valid until the next request.
func (c *dynamoClient) ask(operation string, body []byte) ([]byte, error) {
	c.request = append(c.request[:0], "POST / HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20260101T000000Z\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dynamodb/aws4_request, "+
		"SignedHeaders=host, Signature=0\r\nX-Amz-Target: DynamoDB_20120810."...)
	c.request = append(c.request, operation...)
	if len(c.token) > 0 {
		c.request = append(c.request, "\r\nX-Holdfast-Token: "...)
		c.request = append(c.request, c.token...)
	}
	c.request = append(c.request, "\r\nContent-Length: "...)
	c.request = strconv.AppendInt(c.request, int64(len(body)), 10)
	c.request = append(c.request, "\r\n\r\n"...)
	c.request = append(c.request, body...)
	if err := c.conn.SetDeadline(time.Now().Add(dynamoTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return nil, err
	}
	status, length, err := c.head()
	if err != nil {
		return nil, err
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, &dynamoError{operation, status, string(c.body)}
	}
	return c.body, nil
}

// A dynamoError is a response that is an error.
type dynamoError struct {
	operation string
	status    int
	body      string
}

func (e *dynamoError) Error() string { return fmt.Sprintf("%s: %d %s", e.operation, e.status, e.body) }

// head reads the status line and the headers.
func (c *dynamoClient) head() (status, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case first:
			if len(line) < 12 {
				return 0, 0, fmt.Errorf("status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, 0, err
			}
		case len(line) == 0:
			if length < 0 {
				return 0, 0, errors.New("a response without Content-Length")
			}
			return status, length, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 63)
			if err != nil {
				return 0, 0, err
			}
			if n > maxResponseBytes {
				return 0, 0, fmt.Errorf("a response of %d bytes; at most %d are read", n, maxResponseBytes)
			}
			length = int(n)
		case bytes.EqualFold(name, []byte("X-Holdfast-Token")):
			c.token = append(c.token[:0], bytes.TrimSpace(value)...)
		}
	}
}
