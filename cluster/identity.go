package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"

	"holdfast"
)

// An ID is the random name of a cluster.
type ID [16]byte

// NewID returns the ID of a new cluster.
func NewID() (id ID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// String returns the ID in hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// An Identity says which node of which cluster a data directory belongs to.
type Identity struct {
	Cluster ID
	Name    string            // of the cluster, for people
	Node    holdfast.NodeID   // not 0
	Members []holdfast.NodeID // of the cluster, this node too, by rising ID
	Store   [16]byte          // identity of the store in the same directory
}

const (
	formVersion  = 1
	maxFormBytes = 16 << 10
	maxNameBytes = 64
	maxMembers   = 64
)

// A form is an identity as it is on disk.
type form struct {
	Version int               `json:"version"`
	Cluster string            `json:"cluster"`
	Name    string            `json:"name"`
	Node    holdfast.NodeID   `json:"node"`
	Members []holdfast.NodeID `json:"members"`
	Store   string            `json:"store"`
	Sum     string            `json:"crc32c"` // of the form with "" here
}

// encode returns the file of an identity.
func (is *Identity) encode() []byte {
	f := form{
		Version: formVersion, Cluster: is.Cluster.String(), Name: is.Name, Node: is.Node, Members: is.Members,
		Store: hex.EncodeToString(is.Store[:]),
	}
	f.Sum = fmt.Sprintf("%08x", crc32.Checksum(f.encode(), crc32.MakeTable(crc32.Castagnoli)))
	return f.encode()
}

func (f *form) encode() []byte {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic("cluster: " + err.Error()) // numbers and texts can always be encoded
	}
	return append(text, '\n')
}

// decode returns the identity in a file. Only what encode returns for it is accepted, byte for byte:
// so a file that was damaged, or changed by hand, is Corrupt.
func decode(text []byte) (*Identity, error) {
	var f form
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, corrupt("it can't be read: %v", err)
	}
	if f.Version != formVersion {
		return nil, corrupt("its version is %d, and this program knows %d", f.Version, formVersion)
	}
	is := &Identity{Name: f.Name, Node: f.Node, Members: f.Members}
	for _, id := range []struct {
		text string
		into []byte
	}{{f.Cluster, is.Cluster[:]}, {f.Store, is.Store[:]}} {
		raw, err := hex.DecodeString(id.text)
		if err != nil || len(raw) != len(id.into) {
			return nil, corrupt("%q isn't an ID", id.text)
		}
		copy(id.into, raw)
	}
	if !bytes.Equal(is.encode(), text) {
		return nil, corrupt("its checksum is wrong: it was damaged, or changed by hand")
	}
	if err := is.Check(); err != nil {
		return nil, corrupt("%v", err)
	}
	return is, nil
}

func corrupt(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Corrupt, format, args...)
}

// Check returns an error, which is Invalid, unless there can be such an identity.
func (is *Identity) Check() error {
	switch {
	case is.Cluster == ID{}:
		return holdfast.Errorf(holdfast.Invalid, "the cluster has no ID")
	case len(is.Name) > maxNameBytes:
		return holdfast.Errorf(holdfast.Invalid, "the cluster's name has %d bytes; at most %d", len(is.Name), maxNameBytes)
	case len(is.Members) > maxMembers:
		return holdfast.Errorf(holdfast.Invalid, "%d members; at most %d", len(is.Members), maxMembers)
	case !slices.Contains(is.Members, is.Node):
		return holdfast.Errorf(holdfast.Invalid, "node %d isn't one of the members %v", is.Node, is.Members)
	}
	for i, id := range is.Members {
		if id == 0 || i > 0 && id <= is.Members[i-1] {
			return holdfast.Errorf(holdfast.Invalid, "a cluster can't have the members %v", is.Members)
		}
	}
	return nil
}

// String names the node and its cluster.
func (is *Identity) String() string {
	return fmt.Sprintf("node %d of the %d nodes of cluster %q (%v)", is.Node, len(is.Members), is.Name, is.Cluster)
}
