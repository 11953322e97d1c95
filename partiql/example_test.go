package partiql_test

import (
	"fmt"

	"holdfast/item"
	"holdfast/partiql"
)

func ExampleParse() {
	s, err := partiql.Parse(`SELECT name FROM "users" WHERE id = ? AND at >= 5 AND active = true`,
		[]item.Value{item.Text("ann")})
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
		l, err := q.Resolve(key.Index())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.Table, l.Hash[0].Text, l.Sort[0].Op == item.GE, l.Sort[0].Low.Text)
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
	// users ann true 5
	// true Ann
}
