package table

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"holdfast"
)

// A background is the goroutines beside the requests: the worker and the sweeper. A copy keeps the
// worker busy for long, but doesn't keep the sweeper.
type background struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (b *background) start(runs ...func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	for _, run := range runs {
		b.done.Go(func() { run(ctx) })
	}
}

// stop ends the goroutines, if there are any, and waits for their end.
func (b *background) stop() {
	if b.cancel != nil {
		b.cancel()
	}
	b.done.Wait()
}

// A failureLog logs the failures of a goroutine's jobs, one that repeats itself once.
type failureLog struct {
	log  *slog.Logger
	last map[string]string // by job: what was logged, while the job hasn't succeeded since
}

func (f *failureLog) note(ctx context.Context, job string, err error) {
	switch {
	case err == nil:
		delete(f.last, job)
	case ctx.Err() != nil || errors.Is(err, holdfast.Closed) || errors.Is(err, holdfast.NotLeader):
		// the store is closing, the table has been removed meanwhile, or another node is the active one
	case f.last[job] != err.Error():
		f.last[job] = err.Error()
		level := slog.LevelError
		if errors.Is(err, holdfast.Refused) || errors.Is(err, holdfast.Unavailable) {
			level = slog.LevelWarn // as while a cluster has no leader
		}
		f.log.Log(ctx, level, "a background job failed, and will be tried again", "job", job, "err", err)
	}
}
