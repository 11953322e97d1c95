package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"strings"

	"holdfast/table"
)

func (o *itemOps) transactGetItems(ctx context.Context, req node, w *writer) error {
	var gets []table.Get
	var err error
	req.get("TransactItems").each(func(_ string, part node) bool {
		var get table.Get
		get, err = getOf(part.get("Get"))
		get.Consistent = true
		gets = append(gets, get)
		return err == nil
	})
	if err != nil {
		return err
	}
	got, err := o.tables.TransactGet(ctx, gets)
	if err != nil {
		return err
	}
	var capacities []table.Capacity
	w.beginObject()
	w.name("Responses")
	w.beginArray()
	for _, g := range got {
		w.beginObject()
		w.itemField("Item", g.Item)
		w.endObject()
		capacities = addCapacity(capacities, g.Capacity)
	}
	w.endArray()
	measuredOf(req).writeAll(w, capacities, true)
	w.endObject()
	return nil
}

func (o *itemOps) transactWriteItems(ctx context.Context, req node, w *writer) error {
	items := req.get("TransactItems")
	transaction := table.Transaction{Token: strings.Clone(req.get("ClientRequestToken").text())}
	if transaction.Token != "" {
		transaction.Digest = digestOf(items)
	}
	var err error
	items.each(func(_ string, part node) bool {
		var action table.Action
		action, err = actionOf(part)
		transaction.Actions = append(transaction.Actions, action)
		return err == nil
	})
	if err != nil {
		return err
	}
	written, err := o.tables.TransactWrite(ctx, transaction)
	if err != nil {
		return withoutItems(err, items)
	}
	var capacities []table.Capacity
	var collections []table.Collection
	for _, one := range written {
		capacities = addCapacity(capacities, one.Capacity)
		if one.Collection != nil {
			collections = append(collections, *one.Collection)
		}
	}
	w.beginObject()
	measuredOf(req).writeAll(w, capacities, true)
	writeCollections(w, req, collections)
	w.endObject()
	return nil
}

// actionOf returns the action that one of the TransactItems asks for.
func actionOf(part node) (action table.Action, err error) {
	if len(present(part, []string{"ConditionCheck", "Put", "Delete", "Update"})) != 1 {
		return action, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	part.each(func(name string, n node) bool {
		switch {
		case n.kind() == null:
		case name == "Put":
			action.Put = new(table.Put)
			*action.Put, err = putOf(n)
		case name == "Delete":
			action.Delete = new(table.Delete)
			*action.Delete, err = deleteOf(n)
		case name == "Update":
			action.Update = new(table.Update)
			*action.Update, err = updateOf(n)
		case name == "ConditionCheck":
			var like table.Delete // it has the same fields as a check
			like, err = deleteOf(n)
			action.Check = &table.Check{Table: like.Table, Key: like.Key, If: like.If}
		}
		return true
	})
	return action, err
}

// withoutItems removes the items from the reasons of a canceled transaction, except for actions
// that requested them.
func withoutItems(err error, items node) error {
	canceled := new(table.CanceledError)
	if !errors.As(err, &canceled) {
		return err
	}
	reasons := slices.Clone(canceled.Reasons)
	i := 0
	items.each(func(_ string, part node) bool {
		part.each(func(_ string, action node) bool {
			if i < len(reasons) && action.kind() == object && !wantsItem(action) {
				reasons[i].Item = nil
			}
			return true
		})
		i++
		return true
	})
	return &table.CanceledError{Reasons: reasons}
}

// addCapacity adds the capacity that a part of a transaction consumed to its table's sum.
func addCapacity(sums []table.Capacity, c table.Capacity) []table.Capacity {
	i := slices.IndexFunc(sums, func(s table.Capacity) bool { return s.Table == c.Table })
	if i < 0 {
		i = len(sums)
		sums = append(sums, table.Capacity{Table: c.Table})
	}
	s := &sums[i]
	s.Read, s.Write = s.Read+c.Read, s.Write+c.Write
	s.TableRead, s.TableWrite = s.TableRead+c.TableRead, s.TableWrite+c.TableWrite
	for name, part := range c.Indexes {
		if s.Indexes == nil {
			s.Indexes = map[string]table.IndexCapacity{}
		}
		sum := s.Indexes[name]
		s.Indexes[name] = table.IndexCapacity{Local: part.Local, Read: sum.Read + part.Read, Write: sum.Write + part.Write}
	}
	return sums
}

// digestOf returns a digest of a JSON value's content: it doesn't depend on the order of members or
// on the escapes in texts.
func digestOf(n node) (digest [32]byte) {
	h := sha256.New()
	hashNode(h, n)
	h.Sum(digest[:0])
	return digest
}

// hashNode hashes a value preceded by its kind and length, so that no two different values hash the
// same bytes.
func hashNode(h hash.Hash, n node) {
	switch k := n.kind(); k {
	case object:
		type member struct {
			name  string
			value node
		}
		members := make([]member, 0, n.len())
		n.each(func(name string, v node) bool {
			members = append(members, member{name, v})
			return true
		})
		slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		hashHead(h, k, len(members))
		for _, m := range members {
			hashHead(h, text, len(m.name))
			h.Write([]byte(m.name))
			hashNode(h, m.value)
		}
	case array:
		hashHead(h, k, n.len())
		n.each(func(_ string, v node) bool {
			hashNode(h, v)
			return true
		})
	default:
		s := n.raw()
		if k == text {
			s = n.text()
		}
		hashHead(h, k, len(s))
		h.Write([]byte(s))
	}
}

func hashHead(h hash.Hash, k kind, length int) {
	var head [9]byte
	head[0] = byte(k)
	binary.BigEndian.PutUint64(head[1:], uint64(length))
	h.Write(head[:])
}
