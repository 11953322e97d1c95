package topology

// Verdict says how a cluster keeps its items.
type Verdict string

// The verdicts.
const (
	Sharded     Verdict = "sharded"     // each key on one member, several in use
	Replicated  Verdict = "replicated"  // each key on all members
	Mixed       Verdict = "mixed"       // something else: see the summary and the patterns
	Unclear     Verdict = "unclear"     // the evidence fits several of these
	Unreachable Verdict = "unreachable" // the router stored nothing, or no member could be queried
)

// A Report is what Run found.
type Report struct {
	Router  string  `json:"router"`
	Verdict Verdict `json:"verdict"`
	Summary string  `json:"summary"` // of the evidence, in a line

	Members  []Member  `json:"members"`            // in the order of Options
	Patterns []Pattern `json:"patterns,omitempty"` // on which members keys are; most keys first
	Prefixes []Prefix  `json:"prefixes,omitempty"` // with several: the verdict for each alone
	Reads    Reads     `json:"reads"`
	Deletes  Deletes   `json:"deletes"`

	Keys         int       `json:"keys"`         // set through the router
	Acknowledged int       `json:"acknowledged"` // of those, the ones that it acknowledged; only they count
	ReadBack     int       `json:"read_back"`    // of those, the ones that it then returned
	Unlisted     int       `json:"unlisted"`     // of the acknowledged, on no listed member that could be queried
	Late         int       `json:"late"`         // copies that arrived after the first look
	Refusals     []Refusal `json:"refusals,omitempty"`
	Notes        []string  `json:"notes,omitempty"`

	Run        string  `json:"run"` // a part of all keys of this run
	TTLSeconds int64   `json:"ttl_s"`
	Left       int     `json:"left"`       // keys that may be left somewhere until their TTL ends
	Operations int64   `json:"operations"` // requests sent to the router and the members
	Elapsed    float64 `json:"elapsed_s"`
}

// A Member is what was found on one member.
type Member struct {
	Address string  `json:"address"`
	Error   string  `json:"error,omitempty"` // why it could not be queried; the rest is then 0
	Keys    int     `json:"keys"`            // acknowledged ones on it
	Share   float64 `json:"share"`           // of all acknowledged, 0 to 1
	Alone   int     `json:"alone"`           // of its keys, those on no other
	Reads   int     `json:"reads"`           // through the router that it answered
	Deletes int     `json:"deletes"`         // of the keys deleted through the router, those that it lost
}

// A Pattern is how many keys are on exactly these members.
type Pattern struct {
	Prefix  string   `json:"prefix,omitempty"` // with several
	Members []string `json:"members"`
	Keys    int      `json:"keys"`

	set set
}

// A Prefix is what was found for the keys that begin with it.
type Prefix struct {
	Prefix  string  `json:"prefix"`
	Verdict Verdict `json:"verdict"`
	Summary string  `json:"summary"`
}

// Reads says which members the router reads from: keys whose value differs on each member are read
// through it several times, over several connections.
type Reads struct {
	Summary string `json:"summary"`
	Keys    int    `json:"keys"`
	Reads   int    `json:"reads"`
	Missed  int    `json:"missed"`  // answered with a miss
	Failed  int    `json:"failed"`  // refused, or not answered
	Written int    `json:"written"` // answered with the value written through the router, which no member holds now
	Other   int    `json:"other"`   // answered with a value that was never written

	// Unlisted is Written for keys that are on no listed member, where it is expected.
	Unlisted int `json:"unlisted"`
}

// Deletes says which members a delete through the router reaches, of keys that are on all of them.
type Deletes struct {
	Summary string `json:"summary"`
	Keys    int    `json:"keys"`
	Failed  int    `json:"failed"` // refused, or not answered
}

// A Refusal counts one reason for which sets through the router were not stored.
type Refusal struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}
