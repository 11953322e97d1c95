package topology

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxPatterns = 16 // shown as text

// PrintJSON writes the report with its fields' names.
func PrintJSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Print writes the report as text in UTF-8: the verdict, then the evidence.
func Print(w io.Writer, r Report) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n", r.Verdict, r.Summary)
	for _, p := range r.Prefixes {
		fmt.Fprintf(&out, "  keys with %q: %s: %s\n", p.Prefix, p.Verdict, p.Summary)
	}
	out.WriteString("\n")
	printMembers(&out, r)
	if r.Verdict == Mixed || len(r.Prefixes) > 0 {
		printPatterns(&out, r)
	}
	printRouter(&out, r)
	_, err := io.WriteString(w, out.String())
	return err
}

func printMembers(out *strings.Builder, r Report) {
	table := [][]string{{"#", "member", "keys", "share", "alone", "reads", "deletes"}}
	for i, m := range r.Members {
		row := []string{strconv.Itoa(i + 1), m.Address}
		if m.Error != "" {
			table = append(table, append(row, m.Error))
			continue
		}
		row = append(row, strconv.Itoa(m.Keys), percent(m.Share), strconv.Itoa(m.Alone), strconv.Itoa(m.Reads))
		table = append(table, append(row, strconv.Itoa(m.Deletes)))
	}
	printTable(out, table, 2)
	out.WriteString("\n")
}

// printPatterns numbers the members as printMembers does.
func printPatterns(out *strings.Builder, r Report) {
	prefixes := len(r.Prefixes) > 0
	head := []string{"on members"}
	if prefixes {
		head = append(head, "prefix")
	}
	left := len(head)
	table := [][]string{append(head, "keys")}
	for i, p := range r.Patterns {
		if i == maxPatterns {
			table = append(table, []string{fmt.Sprintf("and %d more patterns", len(r.Patterns)-i)})
			break
		}
		row := []string{numbers(p.set)}
		if prefixes {
			row = append(row, strconv.Quote(p.Prefix))
		}
		table = append(table, append(row, strconv.Itoa(p.Keys)))
	}
	printTable(out, table, left)
	out.WriteString("\n")
}

func numbers(s set) string {
	if s.empty() {
		return "none"
	}
	var all []string
	for _, i := range s.indexes() {
		all = append(all, strconv.Itoa(i+1))
	}
	return strings.Join(all, " ")
}

// printTable aligns the first columns left and the others right. Of a row that is shorter than the
// head, the last cell runs over the columns that it lacks.
func printTable(out *strings.Builder, table [][]string, left int) {
	width := make([]int, len(table[0]))
	runsOver := func(row []string, i int) bool { return len(row) < len(width) && i == len(row)-1 }
	for _, row := range table {
		for i, cell := range row {
			if !runsOver(row, i) {
				width[i] = max(width[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range table {
		line := ""
		for i, cell := range row {
			switch {
			case runsOver(row, i):
				line += cell
			case i < left:
				line += fmt.Sprintf("%-*s  ", width[i], cell)
			default:
				line += fmt.Sprintf("%*s  ", width[i], cell)
			}
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func printRouter(out *strings.Builder, r Report) {
	fmt.Fprintf(out, "router   %s: %d of %d sets acknowledged, %d read back\n", r.Router,
		r.Acknowledged, r.Keys, r.ReadBack)
	if r.Reads.Reads > 0 {
		fmt.Fprintf(out, "reads    %s (%d reads of %d keys)\n", r.Reads.Summary, r.Reads.Reads, r.Reads.Keys)
	}
	if r.Deletes.Keys > 0 {
		fmt.Fprintf(out, "deletes  %s (%d keys)\n", r.Deletes.Summary, r.Deletes.Keys)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note     %s\n", note)
	}
	fmt.Fprintf(out, "cost     %d operations in %.1f s; ", r.Operations, r.Elapsed)
	if r.Left == 0 {
		out.WriteString("all keys deleted\n")
		return
	}
	fmt.Fprintf(out, "%d keys %q… may be left, for %d s at most\n", r.Left, r.Run, r.TTLSeconds)
}

func percent(f float64) string { return strconv.FormatFloat(100*f, 'f', 1, 64) + " %" }
