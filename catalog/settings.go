package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast"
)

// Settings of a table are tags whose names begin with SettingPrefix: so any client of DynamoDB's API
// can change them, and they are in the catalog with the other tags, the same on all nodes.
const (
	SettingPrefix      = "holdfast:"
	AcknowledgeSetting = SettingPrefix + "acknowledge" // a holdfast.Acknowledge
	ReplicasSetting    = SettingPrefix + "replicas"    // how many replicas each of its shards has
)

// CheckSettings returns an error, which is Invalid, if a tag that is to be set is a setting that there
// isn't, or has a value that a table can't have where so many nodes vote. Each of them has a replica.
func CheckSettings(tags map[string]string, nodes int) error {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if !strings.HasPrefix(name, SettingPrefix) {
			continue
		}
		if err := checkSetting(name, tags[name], nodes); err != nil {
			return err
		}
	}
	return nil
}

func checkSetting(name, value string, nodes int) error {
	switch name {
	case AcknowledgeSetting:
		return checkAcknowledge(value, nodes-1)
	case ReplicasSetting:
		return checkReplicas(value, nodes)
	}
	return wrongSetting(name, value, "there is no such setting: the tags that begin with %s are %s and %s",
		SettingPrefix, AcknowledgeSetting, ReplicasSetting)
}

func checkAcknowledge(value string, followers int) error {
	a, err := holdfast.ParseAcknowledge(value)
	if err != nil {
		return wrongSetting(AcknowledgeSetting, value, "%v", err)
	}
	// The default can always be named, also where there are no followers.
	if a.Mode == holdfast.SemiSync && a.Followers > max(followers, 1) {
		return wrongSetting(AcknowledgeSetting, value, "the replicas of a table have %d followers here", followers)
	}
	return nil
}

func checkReplicas(value string, nodes int) error {
	n, err := strconv.Atoi(value)
	switch {
	case err != nil || value != strconv.Itoa(n) || n != 1 && n != 3 && n != 5:
		return wrongSetting(ReplicasSetting, value, "want 1, 3 or 5")
	case n > nodes:
		return wrongSetting(ReplicasSetting, value,
			"there can't be more than nodes that vote, of which there are %d", nodes)
	case n < nodes:
		return wrongSetting(ReplicasSetting, value,
			"fewer than nodes that vote aren't supported yet: each of the %d has one", nodes)
	}
	return nil
}

// wrongSetting returns the error of a setting's value.
func wrongSetting(name, value, format string, args ...any) error {
	return invalid("One or more parameter values were invalid: tag %s=%s: "+format,
		append([]any{name, value}, args...)...)
}

// Acknowledge returns what a write of the table waits for. A value that no table can have, which an
// earlier version may have taken as a tag like any other, is the default.
func (d *Definition) Acknowledge() holdfast.Acknowledge {
	a, err := holdfast.ParseAcknowledge(d.Tags[AcknowledgeSetting])
	if err != nil {
		return holdfast.Acknowledge{}
	}
	return a
}
