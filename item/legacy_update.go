package item

// An AttributeUpdate is one of the legacy AttributeUpdates, as it was in the request.
type AttributeUpdate struct {
	Attr     string
	Action   string // "PUT", "ADD" or "DELETE"; "" is PUT
	HasValue bool
	Value    Value
}

// AttributeUpdates returns the update of the legacy parameter. No attribute is in it twice.
func AttributeUpdates(us []AttributeUpdate) (*Update, error) {
	u := &Update{actions: make([]action, len(us)), root: fork{leaf: -1}, legacy: true}
	for i := range us {
		if err := us[i].check(); err != nil {
			return nil, err
		}
		u.actions[i] = us[i].action()
		u.root.grow(u.actions[i].path, i)
	}
	return u, nil
}

// check returns the error of an update whose action doesn't take its value.
func (a *AttributeUpdate) check() error {
	if err := CheckName(a.Attr); err != nil {
		return err
	}
	if !a.HasValue {
		if a.Action != "DELETE" {
			return invalid("Only DELETE action is allowed when no attribute value is specified")
		}
		return nil
	}
	if err := a.Value.Check(); err != nil {
		return err
	}
	isSet := a.Value.Type == SS || a.Value.Type == NS || a.Value.Type == BS
	switch {
	case a.Action == "DELETE" && !isSet:
		return invalid("DELETE action with value is not supported for the type %s", a.Value.Type)
	case a.Action == "ADD" && !isSet && a.Value.Type != N && a.Value.Type != L:
		return invalid("ADD action is not supported for the type %s", a.Value.Type)
	}
	return nil
}

func (a *AttributeUpdate) action() action {
	act := action{verb: verbSet, path: Path{{Name: a.Attr, Index: -1}}}
	switch {
	case !a.HasValue:
		act.verb = verbRemove
		return act
	case a.Action == "DELETE":
		act.verb = verbDelete
	case a.Action == "ADD":
		act.verb = verbAdd
	}
	act.operand = &expr{op: opValue, value: &a.Value}
	return act
}
