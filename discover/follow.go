package discover

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Follow looks o.Name up at once and then at each interval until ctx is done, and calls changed
// with the first list and with each that differs from the one before. The callee may keep the list.
// There is one call at a time, and lookups wait for it.
//
// After a lookup that fails or returns nothing the list stays. The first failure in a row is
// logged, and so is the first success after it. Follow returns an error only for invalid options,
// at once.
func Follow(ctx context.Context, o Options, changed func([]Member)) error {
	t, err := o.complete()
	if err != nil {
		return err
	}
	log := o.Log.With("name", o.Name)
	var last []Member
	failing := false
	for {
		members, err := lookup(ctx, &o, t)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			log.Warn("lookup failed; the members stay as they are until it succeeds", "members", len(last), "err", err)
		case err == nil && failing:
			log.Info("lookup succeeds again", "members", len(members))
		}
		failing = err != nil
		if err == nil && !slices.Equal(members, last) {
			log.Info("members changed", "members", len(members), "before", len(last))
			last = members
			changed(slices.Clone(members))
		}
		if !pause(ctx, o.Interval) {
			return nil
		}
	}
}

// pause waits for about d: a random part keeps processes that started together from asking DNS
// together. It returns false once ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(time.Duration(float64(d) * (1 + jitterShare*(2*rand.Float64()-1))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
