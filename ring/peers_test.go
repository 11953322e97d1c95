package ring

import (
	"fmt"
	"runtime"
	"strings"
)

// peerKeys are the keys that rings and peers must place alike: common ones, of all lengths to 250,
// with tags, and with bytes from 0x80 on.
func peerKeys() []string {
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("user:%d:profile", i))
	}
	for i := range 500 {
		keys = append(keys, strings.Repeat("k", i%240+1)+fmt.Sprint(i))
	}
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("a{%d}b{%d}", i%50, i), fmt.Sprintf("{}%d{x", i))
	}
	if runtime.GOARCH != "amd64" {
		return keys // char may be unsigned here, and peers hash bytes from 0x80 on differently
	}
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("clé-%c\xff%d", rune(0xc0+i), i))
	}
	return keys
}
