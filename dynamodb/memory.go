package dynamodb

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// The parts of the memory budget. Small requests don't wait unless there are very many.
const (
	// defaultRequestBytes is the default of Options.RequestBytes.
	defaultRequestBytes = 256 << 20
	// smallShare: an eighth of the budget is for small bodies, which don't wait.
	smallShare = 8
	// bodyShare: a quarter is for other bodies.
	bodyShare = 4
	// valueShare: a quarter is for the values that bodies are parsed into. Pages of responses have the
	// rest.
	valueShare = 4
	// addressShare: one address may take half of the bodies' part before its signatures are checked.
	addressShare = 2

	// smallFactor bytes are counted for each byte of a small body; this includes its parsed values.
	smallFactor = 4
	// bodyFactor bytes are counted for each byte of any other body: the body itself, and the buffers
	// that it outgrew, or then the request in which it is forwarded.
	bodyFactor = 2
	// pageBytes are counted for a page of 1 MB, with its items.
	pageBytes = 4 << 20
	// batchPages are counted for a response of up to 16 MB.
	batchPages = 8

	// memoryWait is how long a request over budget waits before it is refused.
	memoryWait = 10 * time.Second
)

// smallBody is the length in bytes up to which a body counts as small.
const smallBody = 16 << 10

// A memory is the memory budget that all requests share. It only counts; nothing is allocated from
// it. A request takes from its parts in the order of the fields, so that two requests never wait
// for each other.
type memory struct {
	small  atomic.Int64 // bytes of small bodies
	most   int64        // limit of small; beyond it small bodies take from bodies
	byAddr addresses
	bodies *semaphore.Weighted
	values *semaphore.Weighted
	pages  *semaphore.Weighted

	bodyBytes, valueBytes, pageCount int64 // capacities of bodies, values and pages
}

func newMemory(budget int64) *memory {
	m := &memory{
		most:       budget / smallShare,
		bodyBytes:  budget / bodyShare,
		valueBytes: budget / valueShare,
	}
	m.pageCount = max(batchPages, (budget-m.most-m.bodyBytes-m.valueBytes)/pageBytes)
	m.byAddr.most = m.bodyBytes / addressShare
	m.bodies = semaphore.NewWeighted(m.bodyBytes)
	m.values = semaphore.NewWeighted(m.valueBytes)
	m.pages = semaphore.NewWeighted(m.pageCount)
	return m
}

// responsePages is how many pages are counted for an operation's response; 0 if it is small.
func responsePages(operation string) int64 {
	switch operation {
	case "Query", "Scan", "ExecuteStatement", "GetRecords":
		return 1
	case "BatchGetItem", "TransactGetItems", "BatchExecuteStatement", "ExecuteTransaction":
		return batchPages
	}
	return 0
}

// A hold is what one request has taken from a memory. The zero hold with its memory has taken
// nothing.
type hold struct {
	m       *memory
	address string // the client's; may be unset for a small body
	proven  bool   // the signature has been verified, so no share is needed
	share   *share // the address's, until prove
	small   int64
	bodies  int64
	claimed int64 // bytes taken from share
	values  int64
	pages   int64
}

// body takes the memory for n bytes of a body. If the hold already has memory for the beginning of
// the same body, it doesn't wait for more, because two requests that both hold memory could wait
// for each other.
func (h *hold) body(ctx context.Context, bytes int64) error {
	need := min(bodyFactor*bytes, h.m.bodyBytes)
	switch {
	case bytes <= smallBody && h.takeSmall(smallFactor*bytes):
		return nil
	case h.bodies > 0:
		if more := need - h.bodies; more > 0 {
			if !h.m.bodies.TryAcquire(more) {
				return errNoMemory
			}
			h.bodies += more
		}
		return nil
	}
	if !h.proven {
		share, claimed := h.m.byAddr.of(h.address), min(need, h.m.byAddr.most)
		if err := wait(ctx, share.taken, claimed); err != nil {
			h.m.byAddr.leave(h.address)
			return err
		}
		h.share, h.claimed = share, claimed
	}
	if err := wait(ctx, h.m.bodies, need); err != nil {
		return err
	}
	h.bodies = need
	return nil
}

func (h *hold) takeSmall(need int64) bool {
	if h.m.small.Add(need) > h.m.most {
		h.m.small.Add(-need)
		return false
	}
	h.small = need
	return true
}

// prove returns the bytes taken from the address's share: the body has been read, and its signature
// is right or none is required.
func (h *hold) prove() {
	if h.share != nil {
		h.share.taken.Release(h.claimed)
		h.m.byAddr.leave(h.address)
		h.share = nil
	}
}

// cells takes the memory for the values of a body with n JSON values, less what is left of the
// memory taken for the body's bytes.
func (h *hold) cells(ctx context.Context, n, bodyBytes int) error {
	need := min(int64(n)*(cellBytes+valueBytes)-(h.small+h.bodies-int64(bodyBytes)), h.m.valueBytes)
	if need <= 0 {
		return nil
	}
	if err := wait(ctx, h.m.values, need); err != nil {
		return err
	}
	h.values = need
	return nil
}

// response takes the memory for the response of an operation, unless it is small.
func (h *hold) response(ctx context.Context, operation string) error {
	pages := responsePages(operation)
	if pages == 0 {
		return nil
	}
	if err := wait(ctx, h.m.pages, pages); err != nil {
		return err
	}
	h.pages = pages
	return nil
}

// release returns everything that the hold has taken.
func (h *hold) release() {
	h.prove()
	h.m.small.Add(-h.small)
	h.m.bodies.Release(h.bodies)
	h.m.values.Release(h.values)
	if h.pages > 0 {
		h.m.pages.Release(h.pages)
	}
	h.small, h.bodies, h.values, h.pages = 0, 0, 0, 0
}

// addresses are the shares of the clients' addresses that have bodies in flight.
type addresses struct {
	most int64      // of each
	mu   sync.Mutex // guards what follows
	all  map[string]*share
}

// A share is how much one address has taken.
type share struct {
	taken *semaphore.Weighted
	users int // guarded by addresses.mu
}

func (a *addresses) of(address string) *share {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[address]
	if s == nil {
		if a.all == nil {
			a.all = map[string]*share{}
		}
		s = &share{taken: semaphore.NewWeighted(a.most)}
		a.all[address] = s
	}
	s.users++
	return s
}

func (a *addresses) leave(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[address]
	if s.users--; s.users == 0 {
		delete(a.all, address)
	}
}

var errNoMemory = &wireError{
	status:  http.StatusServiceUnavailable,
	typ:     coralAvailability + "ServiceUnavailableException",
	message: "Too many large requests at once",
}

// wait takes n of s, and gives up after memoryWait.
func wait(ctx context.Context, s *semaphore.Weighted, n int64) error {
	if s.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	if s.Acquire(ctx, n) != nil {
		return errNoMemory
	}
	return nil
}
