package dynamodb

import (
	"strings"

	"holdfast/catalog"
)

// An account is the region and the account ID that own all tables. Its ARNs are
// arn:aws:dynamodb:region:account:table/name, optionally followed by /index/name, /stream/label or
// /backup/id.
type account struct{ region, id string }

func (a account) tableARN(name string) string {
	return "arn:aws:dynamodb:" + a.region + ":" + a.id + ":table/" + name
}

func (a account) indexARN(table, index string) string { return a.tableARN(table) + "/index/" + index }

func (a account) streamARN(table, label string) string {
	return a.tableARN(table) + "/stream/" + label
}

func (a account) backupARN(b *catalog.BackupDescription) string {
	return a.tableARN(b.Table.Name) + "/backup/" + b.ID
}

// A tableARN holds the parts of a table's ARN.
type tableARN struct{ region, account, name string }

// parseTableARN parses the ARN of a table, with nothing after the table's name. ok is false if the
// text isn't such an ARN, or its name is no valid table name.
func parseTableARN(s string) (arn tableARN, ok bool) {
	if len(s) > maxARNLength || !strings.HasPrefix(s, "arn:") {
		return tableARN{}, false
	}
	parts := strings.SplitN(s, ":", 6) // arn:partition:service:region:account:resource
	if len(parts) < 6 || !strings.HasPrefix(parts[1], "aws") || parts[2] != "dynamodb" || !isName(parts[3]) ||
		!isName(parts[4]) {
		return tableARN{}, false
	}
	name, ok := strings.CutPrefix(parts[5], "table/")
	return tableARN{parts[3], parts[4], name}, ok && isTableName(name)
}

// isTableName reports whether name is a valid table name.
func isTableName(s string) bool {
	return isName(s) && len(s) >= minNameLength && len(s) <= maxNameLength
}

// foreign returns the first ARN in a request that names a table of another region or account; "" if
// there is none. The request must have been checked against the shape.
func (a account) foreign(n node, s *shape) (found string) {
	if !s.arns || n.kind() == absent || n.kind() == null {
		return ""
	}
	switch s.form {
	case formString:
		return a.foreignARN(n.text())
	case formStructure:
		for i := 0; i < len(s.members) && found == ""; i++ {
			if m := &s.members[i]; m.shape.arns {
				found = a.foreign(n.get(m.name), m.shape)
			}
		}
	default:
		n.each(func(key string, v node) bool {
			if s.keys != nil {
				found = a.foreignARN(key)
			}
			if found == "" {
				found = a.foreign(v, s.element)
			}
			return found == ""
		})
	}
	return found
}

// foreignARN returns s if it is the ARN of a table of another region or account, else "".
func (a account) foreignARN(s string) string {
	if arn, ok := parseTableARN(s); ok && (arn.region != a.region || arn.account != a.id) {
		return s
	}
	return ""
}

// part parses the ARN of a table's stream or backup; kind is "stream" or "backup". ok is false if
// the text isn't such an ARN of this region and account.
func (a account) part(arn, kind string) (name, id string, ok bool) {
	resource, ok := strings.CutPrefix(arn, a.tableARN(""))
	if !ok {
		return "", "", false
	}
	name, id, ok = strings.Cut(resource, "/"+kind+"/")
	return name, id, ok && isTableName(name) && id != "" && !strings.Contains(id, "/")
}
