package ring

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// kind is the way from a hash to a member.
type kind uint8

const (
	byScore kind = iota
	byPlainScore
	byPoint
	byLibmemcachedPoint
	byModulo
	byLibmemcachedModulo
	byRandom
	byJump
	byCH3
	byWeightedCH3
	byShard
	byCRC32
)

// A rule describes a placement: its parts, and which options it uses.
type rule struct {
	kind     kind
	function function // the default; 0 if it has its own
	stop     string   // the default
	named    bool     // members are identified by their names, which must differ
	weighted bool     // Member.Weight counts
	shared   bool     // Options.Weights may replace it
	lax      bool     // Member.Weight is ignored rather than refused, as by twemproxy
}

const mcrouterStop = "|#|"

var placements = map[string]rule{
	"rendezvous":          {kind: byScore, named: true, weighted: true, shared: true},
	"weighted_rendezvous": {kind: byScore, named: true, weighted: true, shared: true, stop: mcrouterStop},
	"mcrouter_rendezvous": {kind: byPlainScore, named: true, stop: mcrouterStop},
	"ketama":              {kind: byPoint, function: fnv1a64, named: true, weighted: true},
	"libmemcached_ketama": {kind: byLibmemcachedPoint, function: oneAtATime, named: true, weighted: true},
	"modulo":              {kind: byModulo, function: fnv1a64, named: true, weighted: true},
	"libmemcached_modulo": {kind: byLibmemcachedModulo, function: oneAtATime, weighted: true},
	"random":              {kind: byRandom, function: fnv1a64, lax: true},
	"jump":                {kind: byJump, function: murmur64a},
	"ch3":                 {kind: byCH3, stop: mcrouterStop},
	"weighted_ch3":        {kind: byWeightedCH3, weighted: true, shared: true, stop: mcrouterStop},
	"const_shard":         {kind: byShard, stop: mcrouterStop},
	"crc32":               {kind: byCRC32, stop: mcrouterStop},
}

const (
	defaultPlacement = "rendezvous"
	maxMembers       = 1 << 23 // ch3's limit
	maxWeight        = 1 << 30 // of all members together
)

// check returns the rule of the placement, or an error about the options or the members.
func check(o Options, members []Member) (rule, error) {
	if o.Placement == "" {
		o.Placement = defaultPlacement
	}
	rule, found := placements[o.Placement]
	if !found {
		return rule, fmt.Errorf("unknown placement %q; there are %s", o.Placement, known(placements))
	}
	if err := checkFunction(o, rule); err != nil {
		return rule, err
	}
	if o.Tag != "" && len(o.Tag) != 2 {
		return rule, fmt.Errorf("tag %q is not two bytes", o.Tag)
	}
	if err := checkMembers(o, rule, members); err != nil {
		return rule, err
	}
	return rule, checkWeights(o, rule, members)
}

func checkFunction(o Options, rule rule) error {
	switch _, found := functions[o.Function]; {
	case o.Function == "":
		return nil
	case !found:
		return fmt.Errorf("unknown function %q; there are %s", o.Function, known(functions))
	case rule.function == 0:
		return fmt.Errorf("placement %s has its own function; got %q", o.Placement, o.Function)
	}
	return nil
}

func checkMembers(o Options, rule rule, members []Member) error {
	if len(members) == 0 {
		return fmt.Errorf("no members")
	}
	if len(members) > maxMembers {
		return fmt.Errorf("%d members; the most is %d", len(members), maxMembers)
	}
	total := 0
	seen := make(map[string]bool, len(members))
	for i, m := range members {
		name := m.Name
		if rule.kind == byPoint || rule.kind == byLibmemcachedPoint || rule.kind == byModulo {
			name = twemproxyName(name)
		}
		switch {
		case m.Weight < 0:
			return fmt.Errorf("member %d %q has the weight %d", i, m.Name, m.Weight)
		case m.Weight > maxWeight-total:
			return fmt.Errorf("the members' weights are more than %d together", maxWeight)
		case rule.named && seen[name]:
			return fmt.Errorf("two members are named %q, which placement %s can't tell apart", m.Name, o.Placement)
		case weightOf(m) != weightOf(members[0]) && !rule.weighted && !rule.lax:
			return fmt.Errorf("placement %s has no weights; got %d for %q", o.Placement, m.Weight, m.Name)
		}
		seen[name] = true
		total += weightOf(m)
	}
	return nil
}

func checkWeights(o Options, rule rule, members []Member) error {
	switch {
	case o.Weights == nil:
		return nil
	case !rule.shared:
		return fmt.Errorf("placement %s takes no list of weights", o.Placement)
	case rule.kind == byScore && len(o.Weights) != len(members):
		return fmt.Errorf("%d weights for %d members", len(o.Weights), len(members))
	}
	for i, w := range o.Weights {
		if !(w >= 0 && w <= 1) {
			return fmt.Errorf("weight %d is %v; it must be in [0, 1]", i, w)
		}
	}
	if rule.kind == byScore && slices.Max(o.Weights) == 0 {
		return fmt.Errorf("all weights are 0")
	}
	return nil
}

// known lists the known names, for errors.
func known[V any](named map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(named)), ", ")
}

// weightOf returns the member's weight, 1 if it has none.
func weightOf(m Member) int { return max(m.Weight, 1) }

// weigh returns the members' weights as the placement uses them. Those of weighted_ch3 are in [0,
// 1]; for others only the ratios matter.
func weigh(o Options, rule rule, members []Member) []float64 {
	weights := make([]float64, len(members))
	largest := 0.0
	for i, m := range members {
		switch {
		case !rule.weighted:
			weights[i] = 1
		case o.Weights == nil:
			weights[i] = float64(weightOf(m))
		case i < len(o.Weights):
			weights[i] = o.Weights[i]
		default:
			weights[i] = 0.5
		}
		largest = math.Max(largest, weights[i])
	}
	if rule.kind == byWeightedCH3 && o.Weights == nil {
		for i := range weights {
			weights[i] /= largest
		}
	}
	return weights
}
