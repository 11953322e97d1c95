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

// part takes an ARN of something of a table apart: kind is stream or backup. ok is false if it isn't such an ARN of this
// region and account.
func (h *Handler) part(arn, kind string) (name, id string, ok bool) {
	resource, ok := strings.CutPrefix(arn, h.tableARN(""))
	if !ok {
		return "", "", false
	}
	name, id, ok = strings.Cut(resource, "/"+kind+"/")
	return name, id, ok && name != "" && id != "" && !strings.Contains(id, "/")
}
