package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An etcdClient is a connection to a node of etcd, with one request at a time. Its messages are
// those of etcd's rpc.proto and kv.proto, encoded here; only the fields that bench needs are read.
type etcdClient struct {
	grpc    *grpcClient
	message []byte // the request; used again by the next one
}

func newEtcdClient(address string) *etcdClient { return &etcdClient{grpc: newGRPCClient(address)} }

func (c *etcdClient) close() error { return c.grpc.close() }

// The numbers of the messages' fields.
const (
	putKey, putValue         = 1, 2 // PutRequest
	rangeKey, rangeLocal     = 1, 7 // RangeRequest; local is its serializable
	rangedKVs                = 2    // RangeResponse
	kvKey, kvValue           = 1, 5 // KeyValue
	statusHeader, statusLead = 1, 4 // StatusResponse
	headerMember             = 2    // ResponseHeader
)

func (c *etcdClient) put(key, value []byte) error {
	c.message = appendProtoBytes(c.message[:0], putKey, key)
	c.message = appendProtoBytes(c.message, putValue, value)
	_, err := c.grpc.call("/etcdserverpb.KV/Put", c.message)
	return err
}

// get returns the value of a key, valid until the next request. By default the read is linearizable;
// local has the node answer from what it has applied.
func (c *etcdClient) get(key []byte, local bool) (value []byte, found bool, err error) {
	c.message = appendProtoBytes(c.message[:0], rangeKey, key)
	if local {
		c.message = binary.AppendUvarint(c.message, rangeLocal<<3)
		c.message = append(c.message, 1)
	}
	response, err := c.grpc.call("/etcdserverpb.KV/Range", c.message)
	if err != nil {
		return nil, false, err
	}
	err = protoFields(response, func(field int, _ uint64, kv []byte) error {
		if field != rangedKVs {
			return nil
		}
		var of []byte
		err := protoFields(kv, func(field int, _ uint64, content []byte) error {
			switch field {
			case kvKey:
				of = content
			case kvValue:
				value = content
			}
			return nil
		})
		if err == nil && string(of) != string(key) {
			err = fmt.Errorf("got the value of key %q; want that of %q", of, key)
		}
		found = true
		return err
	})
	return value, found, err
}

// leads reports whether the node leads its cluster.
func (c *etcdClient) leads() (bool, error) {
	response, err := c.grpc.call("/etcdserverpb.Maintenance/Status", nil)
	if err != nil {
		return false, err
	}
	var self, leader uint64
	err = protoFields(response, func(field int, number uint64, content []byte) error {
		switch field {
		case statusHeader:
			return protoFields(content, func(field int, number uint64, _ []byte) error {
				if field == headerMember {
					self = number
				}
				return nil
			})
		case statusLead:
			leader = number
		}
		return nil
	})
	return self != 0 && self == leader, err
}

// Wire types of protocol buffers.
const (
	protoVarint = 0
	protoFixed8 = 1
	protoLength = 2
	protoFixed4 = 5
)

func appendProtoBytes(message []byte, field int, content []byte) []byte {
	message = binary.AppendUvarint(message, uint64(field)<<3|protoLength)
	message = binary.AppendUvarint(message, uint64(len(content)))
	return append(message, content...)
}

var errProto = errors.New("a malformed protocol buffer")

// protoFields calls visit for each field of a message, in its order: with the number of a field of
// type varint, or the content of one with a length. Those of other types are skipped.
func protoFields(message []byte, visit func(field int, number uint64, content []byte) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errProto
		}
		message = message[n:]
		var (
			number  uint64
			content []byte
		)
		switch tag & 7 {
		case protoVarint:
			if number, n = binary.Uvarint(message); n <= 0 {
				return errProto
			}
		case protoLength:
			length, of := binary.Uvarint(message)
			if of <= 0 || length > uint64(len(message)-of) {
				return errProto
			}
			n = of + int(length)
			content = message[of:n]
		case protoFixed8, protoFixed4:
			if n = 8; tag&7 == protoFixed4 {
				n = 4
			}
			if len(message) < n {
				return errProto
			}
			message = message[n:]
			continue
		default:
			return errProto
		}
		message = message[n:]
		if err := visit(int(tag>>3), number, content); err != nil {
			return err
		}
	}
	return nil
}
