package item_test

import (
	"bytes"
	"fmt"

	"holdfast/item"
)

// A query asks for one partition key and a range of sort keys, and reads the keys from one place to
// another.
func ExampleIndexKey_Within() {
	schema := item.KeySchema{Hash: item.KeyAttr{Name: "user", Type: item.S}, Range: item.KeyAttr{Name: "at", Type: item.N}}
	ann := item.Text("ann")
	since := item.RangeCondition{Op: item.GE, Low: item.Value{Type: item.N, Text: "-2.5"}}
	r := schema.Index().Within(item.Lookup{Hash: []item.Value{ann}, Sort: []item.RangeCondition{since}})

	for _, text := range []string{"-10", "-2.5", "9", "1E3"} {
		at, _ := item.Number(text)
		key, _ := schema.Key(item.New(item.Attr{Name: "user", Value: ann}, item.Attr{Name: "at", Value: at}))
		fmt.Println(at.Text, bytes.Compare(key, r.From) >= 0 && bytes.Compare(key, r.To) < 0)
	}
	// Output:
	// -10 false
	// -2.5 true
	// 9 true
	// 1000 true
}
