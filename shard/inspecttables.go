package shard

import (
	"fmt"
	"regexp"
)

// Pebble's words about sorted tables that aren't what the manifest says, a line each.
const (
	missingTable = `L\d+: (\d+): file \d+ .*unknown`
	otherTable   = `L\d+: (\d+): object size mismatch .*: (\d+) \(disk\) != (\d+) \(MANIFEST\)`
)

// checkTables has Pebble look whether all sorted tables are there with the length that they had.
// What is in them is checked as it is read, block by block.
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
		in.found(repairNone, in.pebble(m[1]+".sst"), "is missing")
	}
	for _, m := range regexp.MustCompile(otherTable).FindAllStringSubmatch(err.Error(), -1) {
		in.found(repairNone, in.pebble(m[1]+".sst"), "has %s bytes of the %s that were written", m[2], m[3])
	}
	if len(in.defects) == before {
		in.found(repairNone, engineDir, "can't be opened: %s", fmt.Sprint(err))
	}
}
