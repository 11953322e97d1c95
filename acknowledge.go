package holdfast

import (
	"cmp"
	"strconv"
	"strings"
)

// An Acknowledge is what a write waits for before it is acknowledged. The zero value is the default:
// a write is acknowledged once it is committed, and on the disk of one follower, which it then is
// wherever there is one.
type Acknowledge struct {
	Mode AcknowledgeMode

	// Followers is on how many followers' disks a write must be in the mode SemiSync; 0 is 1.
	Followers int
}

// An AcknowledgeMode is the kind of an Acknowledge.
type AcknowledgeMode uint8

// The modes. Learners count for none of them.
const (
	SemiSync AcknowledgeMode = iota // committed, and on the disks of some followers
	Async                           // on the leader's disk: a failover may lose it
	Sync                            // committed, and on the disk of every replica
)

// maxFollowers is the greatest number of followers that a policy can name.
const maxFollowers = 4

// String returns the text that ParseAcknowledge takes.
func (a Acknowledge) String() string {
	switch a.Mode {
	case Async:
		return "async"
	case Sync:
		return "sync"
	}
	return "semisync:" + strconv.Itoa(max(a.Followers, 1))
}

// ParseAcknowledge parses async, semisync, semisync:K or sync. The error is Invalid.
func ParseAcknowledge(text string) (Acknowledge, error) {
	mode, followers, counted := strings.Cut(text, ":")
	switch {
	case text == "async":
		return Acknowledge{Mode: Async}, nil
	case text == "sync":
		return Acknowledge{Mode: Sync}, nil
	case text == "semisync":
		return Acknowledge{Followers: 1}, nil
	case mode == "semisync" && counted:
		k, err := strconv.Atoi(followers)
		if err == nil && k >= 1 && k <= maxFollowers && followers == strconv.Itoa(k) {
			return Acknowledge{Followers: k}, nil
		}
	}
	return Acknowledge{}, Errorf(Invalid, "%q is no acknowledgement: want async, semisync, semisync:K with K from 1 "+
		"to %d, or sync", text, maxFollowers)
}

// Compare returns a negative number if a policy is weaker than another, 0 if they are equal, and a
// positive one if it is stronger, in the order of AtLeast.
func (a Acknowledge) Compare(b Acknowledge) int { return cmp.Compare(a.strength(), b.strength()) }

// AtLeast returns the stronger of two policies: Async is weaker than SemiSync, and that is weaker
// than Sync.
func (a Acknowledge) AtLeast(b Acknowledge) Acknowledge {
	if a.strength() < b.strength() {
		return b
	}
	return a
}

// Exceeds reports whether a write waits for more than that it is committed.
func (a Acknowledge) Exceeds() bool { return a.Mode == Sync || a.Mode == SemiSync && a.Followers > 1 }

// strength orders policies.
func (a Acknowledge) strength() int {
	switch a.Mode {
	case Async:
		return 0
	case Sync:
		return 2 + maxFollowers
	}
	return cmp.Or(a.Followers, 1)
}

// Needs returns on how many disks of a leader's followers a write must be.
func (a Acknowledge) Needs(followers int) int {
	switch {
	case a.Mode == Async:
		return 0
	case a.Mode == Sync:
		return followers
	case a.Followers <= 1:
		return min(1, followers)
	}
	return a.Followers
}

// An Unmet is why a write is refused, or its outcome unknown: what it waits for can't be had as things
// are. It is the cause of an Error.
type Unmet struct {
	Acknowledge Acknowledge
	Became      string // what has become of the write: how the error's text begins
	Lacking     string // which followers, why, and what to do: how it ends
}

func (u *Unmet) Error() string {
	return "too few followers for " + u.Acknowledge.String() + ": " + u.Lacking
}
