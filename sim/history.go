package sim

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// An action is what an operation does with a register.
type action uint8

const (
	get  action = iota
	put         // writes a value, and returns the one before
	swap        // likewise, but only if the one before is the expected one
)

// An outcome is what is known of an operation.
type outcome uint8

const (
	unknown outcome = iota // it may have happened, and may still happen
	done
	failed  // a swap found another value than the expected one
	refused // nothing was changed, and nothing will be

	acknowledged // but may be lost yet: its group acknowledges async
	lost         // it was acknowledged, and lost before anybody could see it
)

func (o outcome) String() string {
	return [...]string{"unknown", "done", "failed", "refused", "acknowledged", "lost"}[o]
}

// An operation is what a client did with one register. No two writes of a register have the same
// value; 0 is that of a register that was never written.
type operation struct {
	client   int
	key      string
	action   action
	value    int // that is written
	expected int // by a swap

	began, ended int64 // in the order of all begins and ends; no end while it may happen yet
	outcome      outcome
	found        int // what it has read: the value before, for a write
}

func (o *operation) String() string {
	text := [...]string{"get", "put", "swap"}[o.action] + " " + o.key
	if o.action != get {
		text += fmt.Sprintf(" %d", o.value)
	}
	if o.action == swap {
		text += fmt.Sprintf(" for %d", o.expected)
	}
	text += " " + o.outcome.String()
	if o.outcome == done || o.outcome == failed {
		text += fmt.Sprintf(", found %d", o.found)
	}
	return text
}

// A history is what all clients did.
type history struct {
	clock int64
	all   []*operation
}

// begin records the begin of an operation.
func (h *history) begin(o *operation) {
	h.clock++
	o.began, o.ended = h.clock, math.MaxInt64
	h.all = append(h.all, o)
}

// end records how an operation ended. One whose outcome is unknown never ends, and one that was
// acknowledged early ends once more, when it is committed or lost.
func (h *history) end(o *operation, as outcome, found int) {
	o.outcome, o.found = as, found
	if as != unknown && as != acknowledged {
		h.clock++
		o.ended = h.clock
	}
}

// register is the model of one register.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: byKey,
		Init:      func() any { return 0 },
		Step: func(state, input, _ any) (bool, any) {
			is, o := state.(int), input.(*operation)
			switch {
			case o.outcome == unknown && o.action == put:
				return true, o.value
			case o.outcome == unknown: // a swap that happens is one that finds what it expects
				return is == o.expected, o.value
			case o.outcome == failed:
				return is == o.found && is != o.expected, is
			case o.action == get:
				return is == o.found, is
			case o.action == swap:
				return is == o.found && is == o.expected, o.value
			default:
				return is == o.found, o.value
			}
		},
		DescribeOperation: func(input, _ any) string { return input.(*operation).String() },
	}
}

// byKey divides a history into those of single registers.
func byKey(all []porcupine.Operation) [][]porcupine.Operation {
	var parts [][]porcupine.Operation
	number := map[string]int{}
	for _, o := range all {
		key := o.Input.(*operation).key
		i, ok := number[key]
		if !ok {
			i = len(parts)
			number[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], o)
	}
	return parts
}

// relevant returns the operations that a check must explain. What was refused or lost isn't there: if
// it happened nevertheless, nothing explains a read of its value. Reads without an answer say nothing. A
// write of unknown outcome whose value nobody has found needs no place: it can always have one behind
// all others.
func (h *history) relevant() (all []porcupine.Operation) {
	type value struct {
		key string
		is  int
	}
	found := map[value]bool{}
	for _, o := range h.all {
		if o.outcome == done || o.outcome == failed {
			found[value{o.key, o.found}] = true
		}
	}
	for _, o := range h.all {
		never := o.outcome == refused || o.outcome == lost
		if never || o.outcome == unknown && (o.action == get || !found[value{o.key, o.value}]) {
			continue
		}
		all = append(all, porcupine.Operation{ClientId: o.client, Input: o, Call: o.began, Return: o.ended})
	}
	return all
}

// check returns an error unless the history of each register is linearizable: each operation happened
// at one moment between its begin and its end. It gives up on a register after some time, and counts
// it.
func (h *history) check(patience time.Duration) (unchecked int, err error) {
	for _, part := range byKey(h.relevant()) {
		switch porcupine.CheckOperationsTimeout(register(), part, patience) {
		case porcupine.Unknown:
			unchecked++
		case porcupine.Illegal:
			return unchecked, fmt.Errorf("the history of a register is not linearizable:\n%s", show(part))
		}
	}
	return unchecked, nil
}

// show returns the operations, a line for each.
func show(part []porcupine.Operation) string {
	var text strings.Builder
	for _, o := range part {
		fmt.Fprintf(&text, "%6d to %6d client %d: %v\n", o.Call, o.Return, o.ClientId, o.Input)
	}
	return strings.ReplaceAll(text.String(), fmt.Sprint(math.MaxInt64), "ever")
}
