package sim

import (
	"strconv"

	"holdfast/item"
	"holdfast/shard"
)

// registerSchema returns the schema of a table of registers: a key, and a number.
func registerSchema() shard.Schema {
	return shard.Schema{Key: item.KeySchema{Hash: item.KeyAttr{Name: "k", Type: item.S}}}
}

// registerItem returns the item of a register with a value.
func registerItem(key string, value int) item.Item {
	return item.New(
		item.Attr{Name: "k", Value: item.Text(key)}, item.Attr{Name: "v", Value: item.Text(strconv.Itoa(value))})
}

// registerKey returns the key of a register's item.
func registerKey(key string) item.Key {
	schema := registerSchema()
	k, err := schema.Key.Key(registerItem(key, 0))
	if err != nil {
		panic(err) // our own item
	}
	return k
}

// registerValue returns the value of a register, 0 if it has no item, and -1 if it isn't one.
func registerValue(it item.Item) int {
	if it == nil {
		return 0
	}
	v, _ := it.Get("v")
	n, err := strconv.Atoi(v.Text)
	if err != nil {
		return -1
	}
	return n
}
