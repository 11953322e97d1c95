package mc

import "encoding/binary"

// AppendBinaryRequest appends r, which is of the binary protocol, as it stands on the wire;
// decoding that gives r again. It uses the opcode, so r needs no Op. It prints nothing for a
// refused request.
func AppendBinaryRequest(dst []byte, r *Request) []byte {
	if r.Status != StatusOK {
		return dst
	}
	var buffer [20]byte
	extras := r.appendExtras(buffer[:0])
	var h [BinaryHeaderBytes]byte
	h[0] = BinaryRequestMagic
	h[1] = byte(r.Opcode)
	binary.BigEndian.PutUint16(h[2:], uint16(len(r.Key)))
	h[4] = byte(len(extras))
	binary.BigEndian.PutUint32(h[8:], uint32(len(extras)+len(r.Key)+len(r.Value)))
	binary.BigEndian.PutUint32(h[12:], r.Opaque)
	binary.BigEndian.PutUint64(h[16:], r.CAS)
	dst = append(dst, h[:]...)
	dst = append(dst, extras...)
	dst = append(dst, r.Key...)
	return append(dst, r.Value...)
}

// appendExtras appends what stands before the key.
func (r *Request) appendExtras(dst []byte) []byte {
	switch binaryOps[r.Opcode].op {
	case Set, Add, Replace:
		dst = binary.BigEndian.AppendUint32(dst, r.ClientFlags)
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case Incr, Decr:
		dst = binary.BigEndian.AppendUint64(dst, r.Delta)
		dst = binary.BigEndian.AppendUint64(dst, r.Initial)
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case Touch, Gat, Verbosity:
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case FlushAll:
		if r.HasExptime {
			return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
		}
	}
	return dst
}
