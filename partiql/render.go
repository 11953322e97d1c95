package partiql

import (
	"errors"
	"strings"

	"holdfast"
	"holdfast/item"
)

// A rendering makes the text of an expression as package item parses it, with a name for each attribute and each value.
type rendering struct {
	text   strings.Builder
	names  map[string]string // #n → attribute
	known  map[string]string // attribute → #n
	values []item.Attr
}

// scope returns what the text's names and values stand for.
func (r *rendering) scope() (*item.Scope, error) {
	if len(r.names) == 0 {
		r.names = nil
	}
	var values item.Item
	if len(r.values) > 0 {
		values = item.New(r.values...)
	}
	return item.NewScope(r.names, values)
}

// conditioned returns the expression as a condition.
func (e *expression) conditioned() (*item.Condition, error) {
	if !e.predicate() {
		return nil, malformed(unexpectedTerm)
	}
	var r rendering
	r.expression(e)
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	c, err := scope.Condition("FilterExpression", r.text.String())
	return c, plain(err)
}

// keyed returns expressions that must all hold as the condition on a key.
func keyed(conjuncts []*expression) (*item.KeyCondition, error) {
	var r rendering
	for i, e := range conjuncts {
		if i > 0 {
			r.text.WriteString(" AND ")
		}
		r.expression(e)
	}
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	c, err := scope.KeyCondition(r.text.String())
	return c, plain(err)
}

// updated returns the changes as an update.
func updated(changes []change) (*item.Update, error) {
	var r rendering
	for section, keyword := range []string{"SET ", "REMOVE ", "ADD ", "DELETE "} {
		before := keyword
		for _, c := range changes {
			if int(c.section) != section {
				continue
			}
			r.text.WriteString(before)
			before = ", "
			r.path(c.target)
			switch {
			case c.section == setSection:
				r.text.WriteString(" = ")
				r.expression(c.to)
			case c.to != nil:
				r.text.WriteByte(' ')
				r.expression(c.to)
			}
		}
		if before != keyword {
			r.text.WriteByte(' ')
		}
	}
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	u, err := scope.Update(strings.TrimSpace(r.text.String()))
	return u, plain(err)
}

// plain takes the name of a request's parameter, which a statement doesn't have, from the front of an error.
func plain(err error) error {
	var fault *holdfast.Error
	if !errors.As(err, &fault) {
		return err
	}
	for _, parameter := range []string{"FilterExpression", "KeyConditionExpression", "UpdateExpression"} {
		if text, ok := strings.CutPrefix(fault.Text, "Invalid "+parameter+": "); ok {
			return &holdfast.Error{Kind: fault.Kind, Text: text, Err: fault.Err}
		}
	}
	return err
}

func (r *rendering) expression(e *expression) {
	switch e.operation {
	case and:
		r.joined(e.args, " AND ")
	case or:
		r.joined(e.args, " OR ")
	case not:
		r.text.WriteString("NOT ")
		r.enclosed(e.args[0], true)
	case compare:
		r.joined(e.args, " "+e.word+" ")
	case plus:
		r.joined(e.args, " + ")
	case minus:
		r.joined(e.args, " - ")
	case between:
		r.expression(e.args[0])
		r.text.WriteString(" BETWEEN ")
		r.joined(e.args[1:], " AND ")
	case in:
		r.expression(e.args[0])
		r.text.WriteString(" IN (")
		r.joined(e.args[1:], ", ")
		r.text.WriteByte(')')
	case call:
		r.text.WriteString(e.word + "(")
		r.joined(e.args, ", ")
		r.text.WriteByte(')')
	case path:
		r.path(e.path)
	case value:
		name := ":" + decimal(len(r.values))
		r.values = append(r.values, item.Attr{Name: name, Value: e.value})
		r.text.WriteString(name)
	}
}

// joined writes arguments with a sign or a word between them.
func (r *rendering) joined(args []*expression, between string) {
	for i, e := range args {
		if i > 0 {
			r.text.WriteString(between)
		}
		r.enclosed(e, false)
	}
}

// enclosed writes an expression, in parentheses where it would be read otherwise, and never twice: that is an error.
func (r *rendering) enclosed(e *expression, always bool) {
	if !always && e.operation != and && e.operation != or && e.operation != not {
		r.expression(e)
		return
	}
	r.text.WriteByte('(')
	r.expression(e)
	r.text.WriteByte(')')
}

func (r *rendering) path(path item.Path) {
	for i, step := range path {
		switch {
		case step.Index >= 0:
			r.text.WriteString("[" + decimal(step.Index) + "]")
			continue
		case i > 0:
			r.text.WriteByte('.')
		}
		r.text.WriteString(r.name(step.Name))
	}
}

// name returns the placeholder of an attribute.
func (r *rendering) name(attribute string) string {
	if known, ok := r.known[attribute]; ok {
		return known
	}
	if r.names == nil {
		r.names, r.known = make(map[string]string), make(map[string]string)
	}
	placeholder := "#" + decimal(len(r.names))
	r.names[placeholder], r.known[attribute] = attribute, placeholder
	return placeholder
}
