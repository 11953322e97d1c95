package dynamodb

import (
	"context"
	"errors"
	"testing"
)

// A request that finds no room waits until there is some, and is refused when the handler stops.
func TestRoom(t *testing.T) {
	r := newRooms()
	ctx, stop := context.WithCancel(context.Background())
	release, err := wait(ctx, r.pages, pageRoom)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan error)
	go func() {
		release, err := wait(ctx, r.pages, 1)
		if err == nil {
			release()
		}
		entered <- err
	}()
	release()
	if err := <-entered; err != nil {
		t.Errorf("got %v; want the room that was given back", err)
	}
	if release, err = wait(ctx, r.pages, pageRoom); err != nil {
		t.Fatal(err)
	}
	defer release()
	stop()
	if _, err := wait(ctx, r.pages, 1); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v after the stop; want that there is no room", err)
	}
	if release, err := wait(ctx, r.pages, 0); err != nil {
		t.Errorf("got %v; want that small requests never wait", err)
	} else {
		release()
	}
}

func TestBodyBytes(t *testing.T) {
	for length, want := range map[int]int64{
		0: 0, -2: 0, maxPooledBody: 0, maxPooledBody + 1: maxPooledBody + 1, maxBodyBytes: maxBodyBytes, maxBodyBytes + 1: 0, chunked: maxBodyBytes,
	} {
		if got := bodyBytes(length); got != want {
			t.Errorf("%d: got %d; want %d", length, got, want)
		}
	}
}

// Every operation whose answer may be large counts as such.
func TestPagesAreOperations(t *testing.T) {
	known := map[string]bool{}
	for _, named := range operations() {
		for name := range named {
			known[name] = answerPages(name) > 0
		}
	}
	for _, name := range []string{"Query", "Scan", "BatchGetItem", "TransactGetItems", "GetRecords", "ExecuteStatement"} {
		if !known[name] {
			t.Errorf("%s: got no pages", name)
		}
	}
}
