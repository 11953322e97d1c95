package item_test

import (
	"fmt"

	"holdfast/item"
)

func ExampleScope() {
	one, _ := item.Number("1")
	scope, err := item.NewScope(
		map[string]string{"#s": "status"},
		item.New(item.Attr{Name: ":new", Value: item.Text("active")}, item.Attr{Name: ":one", Value: one}),
	)
	if err != nil {
		panic(err)
	}
	update, err := scope.Update("SET #s = :new ADD version :one")
	if err != nil {
		panic(err)
	}
	condition, err := scope.Condition("ConditionExpression", "attribute_exists(pk) AND #s <> :new")
	if err != nil {
		panic(err)
	}
	if err := scope.Unused(); err != nil {
		panic(err)
	}
	before := item.New(item.Attr{Name: "pk", Value: item.Text("user#1")})
	if condition.Match(before) {
		after, err := update.Apply(before)
		version, _ := after.Get("version")
		fmt.Println(update.Names(), version.Text, err)
	}
	_, err = scope.Condition("FilterExpression", "a x b")
	fmt.Println(err)
	// Output:
	// [status version] 1 <nil>
	// Invalid FilterExpression: Syntax error; token: "x", near: "a x b"
}
