//go:build race

package sim

// raced reports that the race detector is in the program.
const raced = true
