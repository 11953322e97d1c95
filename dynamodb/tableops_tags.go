package dynamodb

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"holdfast"
)

// tagsOf parses a list of tags. nil means no tags.
func tagsOf(list node) (map[string]string, error) {
	if list.len() == 0 {
		return nil, nil
	}
	tags := make(map[string]string, list.len())
	var err error
	list.each(func(_ string, t node) bool {
		key := t.get("Key").text()
		if _, ok := tags[key]; ok {
			err = refuse("Duplicate tag key: %s", key)
		}
		tags[key] = t.get("Value").text()
		if err == nil {
			err = checkTag(key, tags[key])
		}
		return err == nil
	})
	return tags, err
}

// taggedTable returns the table that a request's ResourceArn names. list is the member that the
// request must also have, and what is DynamoDB's name for its elements; "" requires none. The order
// of the checks is DynamoDB's.
func (a account) taggedTable(req node, operation, list, what string) (name string, err error) {
	resource := req.get("ResourceArn")
	if resource.kind() == absent {
		return "", invalid("Invalid TableArn")
	}
	arn := resource.text()
	if !looksLikeARN(arn) && (list == "" || !req.has(list)) {
		return "", a.denied(operation, arn)
	}
	if list != "" && !req.has(list) {
		return "", invalid("1 validation error detected: Value null at '%s%s' failed to satisfy constraint: Member must "+
			"not be null",
			strings.ToLower(list[:1]), list[1:])
	}
	name, foreign := a.ownTable(arn)
	if len(name) < minNameLength {
		return "", invalid("Invalid TableArn: Invalid ResourceArn provided as input %s", arn)
	}
	if list != "" && req.get(list).len() == 0 {
		return "", invalid("Atleast one %s needs to be provided as Input.", what)
	}
	if foreign {
		return "", a.denied(operation, arn)
	}
	return name, nil
}

// looksLikeARN reports whether a text has an ARN's parts: a:b:c:d:e:f/g.
func looksLikeARN(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) < 6 || slices.Contains(parts, "") {
		return false
	}
	before, after, ok := strings.Cut(parts[5], "/")
	return ok && before != "" && after != ""
}

// ownTable returns the name of the table that an ARN names, "" if it isn't a table's ARN, and
// whether the table belongs to another region or account.
func (a account) ownTable(arn string) (name string, foreign bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "dynamodb" {
		return "", false
	}
	name, ok := strings.CutPrefix(parts[5], "table/")
	if !ok || !isTableName(name) {
		return "", false
	}
	return name, parts[3] != a.region || parts[4] != a.id
}

// denied returns DynamoDB's error for resources of another account or region.
func (a account) denied(operation, arn string) error {
	if arn == "" {
		arn = "*"
	}
	return &wireError{status: http.StatusBadRequest, typ: coralService + "AccessDeniedException", upper: true,
		message: "User: arn:aws:iam::" + a.id + ":user/holdfast is not authorized to perform: dynamodb:" + operation +
			" on resource: " + arn}
}

// noResource converts the error for a missing table to the one of operations that name the table by
// its ARN.
func noResource(err error, req node) error {
	if !errors.Is(err, holdfast.NotFound) {
		return err
	}
	return exception("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found",
		req.get("ResourceArn").text())
}

func (o *tableOps) tagResource(ctx context.Context, req node, _ *writer) error {
	name, err := o.account.taggedTable(req, "TagResource", "Tags", "Tag")
	if err != nil {
		return err
	}
	tags, err := tagsOf(req.get("Tags"))
	if err != nil {
		return err
	}
	return noResource(o.tables.Tag(ctx, name, tags), req)
}

func (o *tableOps) untagResource(ctx context.Context, req node, _ *writer) error {
	name, err := o.account.taggedTable(req, "UntagResource", "TagKeys", "Tag Key")
	if err != nil {
		return err
	}
	var keys []string
	req.get("TagKeys").each(func(_ string, key node) bool {
		keys = append(keys, key.text())
		return true
	})
	err = o.tables.Untag(ctx, name, keys)
	if errors.Is(err, holdfast.NotFound) {
		return exception("ResourceNotFoundException", "Requested resource not found")
	}
	return err
}

func (o *tableOps) listTagsOfResource(_ context.Context, req node, w *writer) error {
	name, err := o.account.taggedTable(req, "ListTagsOfResource", "", "")
	if err != nil {
		return err
	}
	tags, err := o.tables.Tags(name)
	if err != nil {
		return noResource(err, req)
	}
	w.beginObject()
	w.name("Tags")
	w.beginArray()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		w.beginObject()
		w.strField("Key", key)
		w.strField("Value", tags[key])
		w.endObject()
	}
	w.endArray()
	w.endObject()
	return nil
}
