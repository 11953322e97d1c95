package catalog

import (
	"errors"
	"testing"

	"holdfast"
)

func TestCheckSettings(t *testing.T) {
	const wrong = "One or more parameter values were invalid: tag "
	for _, test := range []struct {
		name, value string
		nodes       int
		want        string
	}{
		{"env", "sync or so", 3, ""},
		{"holdfast", "x", 3, ""},
		{AcknowledgeSetting, "async", 1, ""},
		{AcknowledgeSetting, "semisync", 1, ""},
		{AcknowledgeSetting, "semisync:1", 3, ""},
		{AcknowledgeSetting, "semisync:2", 3, ""},
		{AcknowledgeSetting, "sync", 3, ""},
		{AcknowledgeSetting, "semisync:4", 5, ""},
		{AcknowledgeSetting, "semisync:3", 3,
			wrong + "holdfast:acknowledge=semisync:3: the replicas of a table have 2 " +
				"followers here"},
		{AcknowledgeSetting, "semisync:2", 1,
			wrong + "holdfast:acknowledge=semisync:2: the replicas of a table have 0 " +
				"followers here"},
		{AcknowledgeSetting, "most", 3,
			wrong + `holdfast:acknowledge=most: "most" is no acknowledgement: want async, ` +
				"semisync, semisync:K with K from 1 to 4, or sync"},
		{ReplicasSetting, "1", 1, ""},
		{ReplicasSetting, "3", 3, ""},
		{ReplicasSetting, "5", 5, ""},
		{ReplicasSetting, "3", 1,
			wrong + "holdfast:replicas=3: there can't be more than nodes that vote, of which there are 1"},
		{ReplicasSetting, "1", 3,
			wrong + "holdfast:replicas=1: fewer than nodes that vote aren't supported yet: each of " +
				"the 3 has one"},
		{ReplicasSetting, "2", 3, wrong + "holdfast:replicas=2: want 1, 3 or 5"},
		{ReplicasSetting, "+3", 3, wrong + "holdfast:replicas=+3: want 1, 3 or 5"},
		{ReplicasSetting, "", 3, wrong + "holdfast:replicas=: want 1, 3 or 5"},
		{"holdfast:acknowlege", "sync", 3,
			wrong + "holdfast:acknowlege=sync: there is no such setting: the tags that " +
				"begin with holdfast: are holdfast:acknowledge and holdfast:replicas"},
	} {
		err := CheckSettings(map[string]string{"a": "b", test.name: test.value}, test.nodes)
		if test.want == "" && err == nil {
			continue
		}
		if !errors.Is(err, holdfast.Invalid) || err.Error() != test.want {
			t.Errorf("%s=%s on %d nodes: got %v; want %q", test.name, test.value, test.nodes, err, test.want)
		}
	}
}

func TestAcknowledgeOfATable(t *testing.T) {
	for value, want := range map[string]holdfast.Acknowledge{
		"sync": {Mode: holdfast.Sync}, "semisync:2": {Followers: 2}, "": {}, "of an earlier version": {},
	} {
		d := Definition{Tags: map[string]string{AcknowledgeSetting: value}}
		if got := d.Acknowledge(); got != want {
			t.Errorf("%q: got %v; want %v", value, got, want)
		}
	}
	if got := (&Definition{}).Acknowledge(); got != (holdfast.Acknowledge{}) {
		t.Errorf("no tags: got %v", got)
	}
}
