package partiql_test

import (
	"fmt"

	"holdfast/item"
	"holdfast/partiql"
)

func ExampleParse() {
	s, err := partiql.Parse(`SELECT name FROM "users" WHERE id = ? AND at >= 5 AND active = true`, []item.Value{item.Text("ann")})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}, Range: item.KeyAttr{Name: "at", Type: item.N}}
	read, err := s.Read(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, q := range read.Queries {
		hash, within, err := q.Resolve(key)
		fmt.Println(s.Table, hash.Text, within.Op == item.GE, within.Low.Text, err)
	}
	at, err := item.Number("7")
	if err != nil {
		fmt.Println(err)
		return
	}
	ann := item.New(
		item.Attr{Name: "id", Value: item.Text("ann")}, item.Attr{Name: "at", Value: at},
		item.Attr{Name: "active", Value: item.Bool(true)}, item.Attr{Name: "name", Value: item.Text("Ann")})
	fmt.Println(s.Where.Match(ann), s.Columns(ann)[0].Value.Text)
	// Output:
	// users ann true 5 <nil>
	// true Ann
}
