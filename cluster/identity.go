package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
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

	// Met are the members as they have met to form the cluster, in the order of Members, or as they were
	// when this node has joined it. None if one process has formed it, for all nodes.
	Met []Member

	// Replaces is the node that was lost, in whose place this one has joined; 0: in nobody's.
	Replaces holdfast.NodeID

	// Added says that this node has joined beside those that there were.
	Added bool
}

// Joined reports whether the node has joined the cluster after that was formed.
func (is *Identity) Joined() bool { return is.Replaces != 0 || is.Added }

// A Member is a node of a cluster, as it has met the others.
type Member struct {
	Addr        string // host:port, at which the others reach it
	Incarnation Incarnation
}

const (
	oneProcessVersion = 1 // of the form of an identity without Met
	metVersion        = 2 // with Met
	joinedVersion     = 3 // with Replaces, too
	addedVersion      = 4 // with Added
	maxFormBytes      = 64 << 10
	maxNameBytes      = 64
	maxMembers        = 64
	maxAddrBytes      = 255
)

// A form is an identity as it is on disk.
type form struct {
	Version int               `json:"version"`
	Cluster string            `json:"cluster"`
	Name    string            `json:"name"`
	Node    holdfast.NodeID   `json:"node"`
	Members []holdfast.NodeID `json:"members"`
	Met     []metForm         `json:"met,omitempty"` // from version 2 on
	Lost    holdfast.NodeID   `json:"replaces,omitempty"`
	Added   bool              `json:"added,omitempty"`
	Store   string            `json:"store"`
	Sum     string            `json:"crc32c"` // of the form with "" here
}

type metForm struct {
	Address     string `json:"address"`
	Incarnation string `json:"incarnation"`
}

// encode returns the file of an identity.
func (is *Identity) encode() []byte {
	f := form{
		Version: oneProcessVersion, Cluster: is.Cluster.String(), Name: is.Name, Node: is.Node, Members: is.Members,
		Store: hex.EncodeToString(is.Store[:]),
	}
	for _, m := range is.Met {
		f.Version = metVersion
		f.Met = append(f.Met, metForm{m.Addr, m.Incarnation.String()})
	}
	if is.Replaces != 0 {
		f.Version, f.Lost = joinedVersion, is.Replaces
	}
	if is.Added {
		f.Version, f.Added = addedVersion, true
	}
	f.Sum = sumOf(&f)
	return encodeForm(&f)
}

// sumOf returns the checksum of a form whose own is "" yet.
func sumOf(f any) string {
	return fmt.Sprintf("%08x", crc32.Checksum(encodeForm(f), crc32.MakeTable(crc32.Castagnoli)))
}

func encodeForm(f any) []byte {
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
	if f.Version < oneProcessVersion || f.Version > addedVersion {
		return nil, corrupt("its version is %d, and this program knows %d to %d", f.Version, oneProcessVersion,
			addedVersion)
	}
	is := &Identity{Name: f.Name, Node: f.Node, Members: f.Members, Replaces: f.Lost, Added: f.Added}
	errs := []error{decodeID(f.Cluster, (*[16]byte)(&is.Cluster)), decodeID(f.Store, &is.Store)}
	for _, m := range f.Met {
		met := Member{Addr: m.Address}
		errs = append(errs, decodeID(m.Incarnation, (*[16]byte)(&met.Incarnation)))
		is.Met = append(is.Met, met)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if !bytes.Equal(is.encode(), text) {
		return nil, corrupt("its checksum is wrong: it was damaged, or changed by hand")
	}
	if err := is.Check(); err != nil {
		return nil, corrupt("%v", err)
	}
	return is, nil
}

// decodeID sets into to the ID that a text has in hexadecimal digits.
func decodeID(text string, into *[16]byte) error {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(into) {
		return corrupt("%q isn't an ID", text)
	}
	copy(into[:], raw)
	return nil
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
		return holdfast.Errorf(holdfast.Invalid, "the cluster's name has %d bytes; at most %d", len(is.Name),
			maxNameBytes)
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
	return is.checkMet()
}

// checkMet checks the members as they have met, if they have.
func (is *Identity) checkMet() error {
	highest := is.Members[len(is.Members)-1]
	switch {
	case is.Joined() && (len(is.Met) != len(is.Members) || is.Node != highest || is.Replaces >= is.Node ||
		slices.Contains(is.Members, is.Replaces) || is.Added && is.Replaces != 0):
		return holdfast.Errorf(holdfast.Invalid, "node %d of %v can't have joined, or not in the place of node %d",
			is.Node, is.Members, is.Replaces)
	case len(is.Met) == 0:
		return nil
	case !is.Joined() && (len(is.Met) != len(is.Members) || int(highest) != len(is.Members)):
		return holdfast.Errorf(holdfast.Invalid, "nodes that have met don't have the IDs 1 to %d: %v", len(is.Met),
			is.Members)
	}
	for i, m := range is.Met {
		again := slices.ContainsFunc(is.Met[:i], func(o Member) bool {
			return o.Addr == m.Addr || o.Incarnation == m.Incarnation
		})
		if again || m.Addr == "" || len(m.Addr) > maxAddrBytes || m.Incarnation == (Incarnation{}) {
			return holdfast.Errorf(holdfast.Invalid, "node %d can't have met the others at %q as %v", is.Members[i],
				m.Addr, m.Incarnation)
		}
	}
	return nil
}

// Self returns this node as it has met the others. Met isn't empty.
func (is *Identity) Self() Member { return is.Met[slices.Index(is.Members, is.Node)] }

// String names the node and its cluster.
func (is *Identity) String() string {
	return fmt.Sprintf("node %d of the %d nodes of cluster %q (%v)", is.Node, len(is.Members), is.Name, is.Cluster)
}
