package dynamodb

import (
	"strings"

	"holdfast/table"
)

// ARNs are arn:aws:dynamodb:region:account:table/name, and behind that /index/name, /stream/label or /backup/id.
func (h *Handler) tableARN(name string) string {
	return "arn:aws:dynamodb:" + h.region + ":" + h.account + ":table/" + name
}

func (h *Handler) indexARN(table, index string) string { return h.tableARN(table) + "/index/" + index }

func (h *Handler) streamARN(table, label string) string {
	return h.tableARN(table) + "/stream/" + label
}

func (h *Handler) backupARN(b *table.Backup) string {
	return h.tableARN(b.Table.Name) + "/backup/" + b.ID
}

// A tableARN is an ARN of a table, taken apart.
type tableARN struct{ region, account, name string }

// parseTableARN takes apart an ARN of a table and of nothing in it. ok is false if the text isn't one, or names a table that there
// can't be.
func parseTableARN(s string) (arn tableARN, ok bool) {
	if len(s) > maxARNLength || !strings.HasPrefix(s, "arn:") {
		return tableARN{}, false
	}
	parts := strings.SplitN(s, ":", 6) // arn:partition:service:region:account:resource
	if len(parts) < 6 || !strings.HasPrefix(parts[1], "aws") || parts[2] != "dynamodb" || !isName(parts[3]) || !isName(parts[4]) {
		return tableARN{}, false
	}
	name, ok := strings.CutPrefix(parts[5], "table/")
	return tableARN{parts[3], parts[4], name}, ok && isTableName(name)
}

// isTableName says whether a table may have that name.
func isTableName(s string) bool {
	return isName(s) && len(s) >= minNameLength && len(s) <= maxNameLength
}

// foreign returns the first ARN in a request, which has its shape, that names a table of another region or account; "" is none.
func (h *Handler) foreign(n node, s *shape) (found string) {
	if !s.arns || n.kind() == absent || n.kind() == null {
		return ""
	}
	switch s.form {
	case formString:
		return h.foreignARN(n.text())
	case formStructure:
		for i := 0; i < len(s.members) && found == ""; i++ {
			if m := &s.members[i]; m.shape.arns {
				found = h.foreign(n.get(m.name), m.shape)
			}
		}
	default:
		n.each(func(key string, v node) bool {
			if s.keys != nil {
				found = h.foreignARN(key)
			}
			if found == "" {
				found = h.foreign(v, s.element)
			}
			return found == ""
		})
	}
	return found
}

// foreignARN returns an ARN of another region's or account's table, and of any other text "".
func (h *Handler) foreignARN(s string) string {
	if arn, ok := parseTableARN(s); ok && (arn.region != h.region || arn.account != h.account) {
		return s
	}
	return ""
}

// part takes an ARN of something of a table apart: kind is stream or backup. ok is false if it isn't such an ARN of this
// region and account.
func (h *Handler) part(arn, kind string) (name, id string, ok bool) {
	resource, ok := strings.CutPrefix(arn, h.tableARN(""))
	if !ok {
		return "", "", false
	}
	name, id, ok = strings.Cut(resource, "/"+kind+"/")
	return name, id, ok && isTableName(name) && id != "" && !strings.Contains(id, "/")
}
