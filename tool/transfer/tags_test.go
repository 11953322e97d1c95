package transfer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"holdfast"
)

// Tags are set and removed, however many pages the server lists them on and however busy it is.
func TestSetTags(t *testing.T) {
	f, c := newFake(t)
	f.refuse["wrong"] = true
	for _, test := range []struct {
		tags, want map[string]string
	}{
		{map[string]string{"a": "1", "b": "2", "c": "3"}, map[string]string{"a": "1", "b": "2", "c": "3"}},
		{map[string]string{"a": "", "b": "4"}, map[string]string{"b": "4", "c": "3"}},
		{map[string]string{"none": ""}, map[string]string{"b": "4", "c": "3"}},
		{map[string]string{"b": "", "c": ""}, map[string]string{}},
		{map[string]string{"d": "5"}, map[string]string{"d": "5"}},
	} {
		f.busy = 2
		got, err := c.SetTags(context.Background(), "users", test.tags)
		if fmt.Sprint(got, err) != fmt.Sprint(test.want, nil) {
			t.Errorf("set %v: got %v, %v; want %v", test.tags, got, err, test.want)
		}
	}
	_, err := c.SetTags(context.Background(), "users", map[string]string{"d": "", "wrong": "1"})
	if !errors.Is(err, holdfast.Invalid) || err.Error() != "ValidationException: no wrong" || len(f.tags) != 1 {
		t.Errorf("a wrong tag: got %v, and the tags are %v; want it refused, and nothing removed", err, f.tags)
	}
	if _, err := c.SetTags(context.Background(), "none", nil); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("no table: got %v; want it not found", err)
	}
}
