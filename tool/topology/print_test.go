package topology

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	var one, all set
	one.add(0)
	all.add(0)
	all.add(1)
	r := Report{
		Router: "10.0.0.9:22121", Verdict: Mixed, Summary: "some words",
		Members: []Member{
			{Address: "10.0.0.1:11211", Keys: 150, Share: 0.75, Alone: 50, Reads: 120, Deletes: 15},
			{Address: "10.0.0.20:11211", Keys: 100, Share: 0.5, Reads: 80, Deletes: 20},
			{Address: "10.0.0.3:11211", Error: "can't connect: connection refused"},
		},
		Patterns: []Pattern{{Members: []string{"10.0.0.1:11211", "10.0.0.20:11211"}, Keys: 100, set: all},
			{Members: []string{"10.0.0.1:11211"}, Keys: 50, set: one}, {Members: []string{}, Keys: 50}},
		Reads:   Reads{Summary: "spread", Keys: 20, Reads: 200},
		Deletes: Deletes{Summary: "reach some", Keys: 20},
		Keys:    200, Acknowledged: 200, ReadBack: 190,
		Notes: []string{"a note"},
		Run:   "hf-topology-0a0b0c0d", TTLSeconds: 150, Left: 3, Operations: 1234, Elapsed: 2.345,
	}
	var got strings.Builder
	if err := Print(&got, r); err != nil {
		t.Fatal(err)
	}
	want := `mixed: some words

#  member           keys   share  alone  reads  deletes
1  10.0.0.1:11211    150  75.0 %     50    120       15
2  10.0.0.20:11211   100  50.0 %      0     80       20
3  10.0.0.3:11211   can't connect: connection refused

on members  keys
1 2          100
1             50
none          50

router   10.0.0.9:22121: 200 of 200 sets acknowledged, 190 read back
reads    spread (200 reads of 20 keys)
deletes  reach some (20 keys)
note     a note
cost     1234 operations in 2.3 s; 3 keys "hf-topology-0a0b0c0d"… may be left, for 150 s at most
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	var text strings.Builder
	if err := PrintJSON(&text, r); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal([]byte(text.String()), &back); err != nil {
		t.Fatal(err)
	}
	if back.Verdict != Mixed || len(back.Members) != 3 || len(back.Patterns) != 3 ||
		back.Patterns[2].Members == nil || back.Left != 3 {
		t.Errorf("got %+v from JSON; want the report", back)
	}
}
