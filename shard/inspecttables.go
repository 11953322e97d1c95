package shard

import (
	"fmt"
	"regexp"
)

// Pebble's messages about sorted tables that differ from the manifest, one line each.
const (
	missingTable = `L\d+: (\d+): file \d+ .*unknown`
	otherTable   = `L\d+: (\d+): object size mismatch .*: (\d+) \(disk\) != (\d+) \(MANIFEST\)`
)

// checkTables has Pebble check whether all sorted tables are there with the length that they had.
// Their blocks are checked when they are read.
func (in *inspection) checkTables() {
	s, err := in.openRemainder(in.tables())
	if err == nil {
		err = s.engine.db.Close()
	}
	if err == nil {
		return
	}
	before := len(in.defects)
	for _, m := range regexp.MustCompile(missingTable).FindAllStringSubmatch(err.Error(), -1) {
		in.found(repairNone, in.pebble(m[1]+tableSuffix), "is missing")
	}
	for _, m := range regexp.MustCompile(otherTable).FindAllStringSubmatch(err.Error(), -1) {
		in.found(repairNone, in.pebble(m[1]+tableSuffix), "has %s bytes of the %s that were written", m[2], m[3])
	}
	if len(in.defects) == before {
		in.found(repairNone, engineDir, "can't be opened: %s", fmt.Sprint(err))
	}
}
