package table

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"holdfast"
	"holdfast/catalog"
)

func TestTags(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	ctx := context.Background()
	if err := r.Tag(ctx, "users", map[string]string{"env": "test", "team": "a"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(ctx, "users", map[string]string{"env": "production"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Untag(ctx, "users", []string{"team", "none"}); err != nil {
		t.Fatal(err)
	}
	r.crash()
	want := map[string]string{"env": "production"}
	if got, err := r.Tags("users"); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	many := map[string]string{}
	for i := range catalog.MaxTags {
		many[fmt.Sprint(i)] = ""
	}
	wantError(t, r.Tag(ctx, "users", many), holdfast.Invalid, "One or more parameter values were invalid: Too many "+
		"tags: 51; a table can have 50")
	_, err := r.Tags("none")
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Table: none not found")
}
