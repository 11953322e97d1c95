package group

// hesitantElections is for how many times ElectionTicks without a leader a hesitant node leaves it to
// others to campaign. A node that isn't campaigns after one to two times ElectionTicks.
const hesitantElections = 3

// Hesitate says whether the replicas of this node leave it to others to campaign, for as long as it
// may take them. They vote as always, and lead if they are asked to: by Campaign, or by a leader that
// hands over. If nobody else is elected in that time, since those who could be lack what this node
// has, or aren't there, they campaign as any other.
func (h *Host) Hesitate(on bool) { h.hesitant.Store(on) }

// hesitates reports whether a replica doesn't campaign by itself now.
//
// Without Raft's ticks, its follower doesn't campaign. The other thing that it does by them is to hold
// to a leader for an election's time; listen ends that anyway, by ticks of the core.
func hesitates(c *core) bool {
	if c.hesitant == nil || !c.hesitant.Load() || c.began != 0 {
		return false
	}
	return c.leader != 0 || c.ticks-c.hearing.orphaned < hesitantElections*c.hearing.patience
}
