// Package holdfast holds the nouns that cross packages. It imports nothing of ours, and every
// other package may import it.
package holdfast

// Version is this program's release, as semantic versioning has it.
const Version = "0.1.0"
