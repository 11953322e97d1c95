package holdfast

import (
	"cmp"
	"errors"
	"testing"
)

func TestParseAcknowledge(t *testing.T) {
	for text, want := range map[string]Acknowledge{
		"async": {Mode: Async}, "sync": {Mode: Sync}, "semisync": {Followers: 1}, "semisync:1": {Followers: 1},
		"semisync:2": {Followers: 2}, "semisync:4": {Followers: 4},
	} {
		got, err := ParseAcknowledge(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseAcknowledge(got.String()); err != nil || again != got {
			t.Errorf("%q prints as %q, which is %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "Async", "async:1", "sync:2", "semisync:", "semisync:0", "semisync:5", "semisync:-1", "semisync:+1",
		"semisync:01", "semisync: 1", "semisync:1:1", " sync", "all",
	} {
		if got, err := ParseAcknowledge(text); !errors.Is(err, Invalid) {
			t.Errorf("%q: got %v, %v; want Invalid", text, got, err)
		}
	}
}

func TestStrongestAcknowledge(t *testing.T) {
	rising := []Acknowledge{{Mode: Async}, {}, {Followers: 2}, {Followers: 4}, {Mode: Sync}}
	for i, weak := range rising {
		for _, strong := range rising[i:] {
			if a, b := weak.AtLeast(strong), strong.AtLeast(weak); a != strong || b != strong {
				t.Errorf("of %v and %v: got %v and %v", weak, strong, a, b)
			}
		}
	}
}

func TestAcknowledgeCompare(t *testing.T) {
	rising := [][]Acknowledge{
		{{Mode: Async}}, {{}, {Followers: 1}}, {{Followers: 2}}, {{Followers: maxFollowers}}, {{Mode: Sync}},
	}
	for i, equal := range rising {
		for j, others := range rising {
			for _, a := range equal {
				for _, b := range others {
					if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
						t.Errorf("%v and %v: got %d; want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

func TestAcknowledgeNeeds(t *testing.T) {
	for _, test := range []struct {
		a    Acknowledge
		want [4]int // of 0 to 3 followers
	}{
		{Acknowledge{Mode: Async}, [4]int{}},
		{Acknowledge{}, [4]int{0, 1, 1, 1}},
		{Acknowledge{Followers: 1}, [4]int{0, 1, 1, 1}},
		{Acknowledge{Followers: 2}, [4]int{2, 2, 2, 2}},
		{Acknowledge{Mode: Sync}, [4]int{0, 1, 2, 3}},
	} {
		for followers, want := range test.want {
			if got := test.a.Needs(followers); got != want {
				t.Errorf("%v of %d followers: got %d; want %d", test.a, followers, got, want)
			}
		}
	}
}
