package ring

import "bytes"

// A part chooses the bytes of a key that are hashed.
type part struct {
	stop []byte
	tag  string // "" or two bytes
	salt string
}

func newPart(o Options, rule rule) part {
	stop := o.Stop
	if stop == "" {
		stop = rule.stop
	}
	return part{stop: []byte(stop), tag: o.Tag, salt: o.Salt}
}

// of returns the part of the key that is hashed before the salt.
func (p *part) of(key []byte) []byte {
	if len(p.stop) > 0 {
		if i := bytes.Index(key, p.stop); i >= 0 {
			key = key[:i]
		}
	}
	if p.tag == "" {
		return key
	}
	open := bytes.IndexByte(key, p.tag[0])
	if open < 0 {
		return key
	}
	if length := bytes.IndexByte(key[open+1:], p.tag[1]); length > 0 {
		return key[open+1 : open+1+length]
	}
	return key
}

// salted appends the part and the salt to buf.
func (p *part) salted(buf, part []byte) []byte {
	return append(append(buf, part...), p.salt...)
}
