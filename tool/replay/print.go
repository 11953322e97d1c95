package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// PrintJSON writes {"reports": [...]}.
func PrintJSON(w io.Writer, reports []Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Reports []Report `json:"reports"`
	}{reports})
}

// marshalFloat omits insignificant digits.
func marshalFloat(f float64) ([]byte, error) { return strconv.AppendFloat(nil, f, 'f', 3, 64), nil }

// Print writes reports of the same trace side by side, as text in UTF-8.
func Print(w io.Writer, reports []Report) error {
	if len(reports) == 0 {
		return nil
	}
	var out strings.Builder
	printTrace(&out, longest(reports))
	printTable(&out, reports)
	printNotes(&out, reports)
	_, err := io.WriteString(w, out.String())
	return err
}

// longest returns the report of the most requests.
func longest(reports []Report) Report {
	most := reports[0]
	for _, r := range reports {
		if r.Requests > most.Requests {
			most = r
		}
	}
	return most
}

func printTrace(out *strings.Builder, r Report) {
	about := ""
	if !r.KeysExact {
		about = "about "
	}
	name := filepath.Base(r.Trace)
	if r.Format != "" && r.Format != FormatZipf {
		name += " (" + string(r.Format) + ")"
	}
	fmt.Fprintf(out, "%s: %s%s different keys, %s with their values\n", name, about, group(r.Keys), size(r.DataBytes))
	for _, s := range r.Skipped {
		fmt.Fprintf(out, "skipped %s lines: %s\n", group(s.Lines), s.Reason)
	}
	out.WriteString("\n")
}

// row is a line of the table. A row whose cells are all empty is omitted.
type row struct {
	label string
	cell  func(r *Report) string
}

var rows = []row{
	{"server", func(r *Report) string { return r.Server }},
	{"version", func(r *Report) string { return r.Version }},
	{"memory limit", func(r *Report) string { return positive(r.MemoryBytes, size) }},
	{"requests", func(r *Report) string { return group(r.Requests) }},
	{"hits", func(r *Report) string { return group(r.Hits) }},
	{"misses", func(r *Report) string { return group(r.Misses) }},
	{"hit rate", func(r *Report) string { return percent(r.HitRate) }},
	{"over time", func(r *Report) string { return sparkline(r.Over) }},
	{"first and last part", firstAndLast},
	{"gets failed", func(r *Report) string { return positive(r.GetErrors, group) }},
	{"sets refused", func(r *Report) string { return positive(r.SetsRefused, group) }},
	{"items held", func(r *Report) string { return known(r.Items) }},
	{"evictions", func(r *Report) string { return known(r.Evictions) }},
	{"loaded", func(r *Report) string { return size(r.LoadedBytes) }},
	{"time in loads saved", func(r *Report) string { return positive(int64(r.LoadSaved), span) }},
	{"took", func(r *Report) string { return span(int64(r.Elapsed)) }},
	{"throughput", func(r *Report) string { return group(int64(r.PerSecond)) + "/s" }},
	{"get p50", func(r *Report) string { return micros(r.Latency.P50) }},
	{"get p90", func(r *Report) string { return micros(r.Latency.P90) }},
	{"get p99", func(r *Report) string { return micros(r.Latency.P99) }},
	{"get p99.9", func(r *Report) string { return micros(r.Latency.P999) }},
	{"get max", func(r *Report) string { return micros(r.Latency.Max) }},
}

func firstAndLast(r *Report) string {
	if len(r.Over) < 2 {
		return ""
	}
	return percent(r.Over[0].HitRate) + " → " + percent(r.Over[len(r.Over)-1].HitRate)
}

func printTable(out *strings.Builder, reports []Report) {
	cells := make([][]string, len(rows))
	width := make([]int, len(reports))
	for i, row := range rows {
		for j := range reports {
			cell := row.cell(&reports[j])
			cells[i] = append(cells[i], cell)
			width[j] = max(width[j], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		if strings.Join(cells[i], "") == "" {
			continue
		}
		line := fmt.Sprintf("%-19s", row.label)
		for j, cell := range cells[i] {
			line += fmt.Sprintf("  %*s", width[j], cell)
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func printNotes(out *strings.Builder, reports []Report) {
	for _, r := range reports {
		for _, a := range r.Refusals {
			fmt.Fprintf(out, "\n%s refused %s times: %s", r.Server, group(a.Count), a.Answer)
		}
		if r.Stopped != "" {
			fmt.Fprintf(out, "\n%s stopped after %s requests: %s", r.Server, group(r.Requests), r.Stopped)
		}
	}
	if s := out.String(); !strings.HasSuffix(s, "\n") {
		out.WriteString("\n")
	}
}

// sparkline draws hit rates from 0 to 100 % as eighths of a line's height.
func sparkline(points []Point) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	var line []rune
	for _, p := range points {
		line = append(line, levels[min(int(p.HitRate*float64(len(levels))), len(levels)-1)])
	}
	return string(line)
}

func positive(n int64, format func(int64) string) string {
	if n <= 0 {
		return ""
	}
	return format(n)
}

// known returns n as text, empty for -1, which the server didn't report.
func known(n int64) string {
	if n < 0 {
		return ""
	}
	return group(n)
}

// group separates thousands: 1,234,567.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(f float64) string { return strconv.FormatFloat(100*f, 'f', 1, 64) + " %" }

func size(n int64) string {
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// span returns a duration as seconds, or as hours and minutes if it is long.
func span(n int64) string {
	if d := time.Duration(n); d >= 10*time.Minute {
		return d.Round(time.Second).String()
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " s"
}

func micros(m Micros) string {
	f := float64(m) / 1e3
	if f < 99.95 { // or 100.0 would be printed beside 100
		return strconv.FormatFloat(f, 'f', 1, 64) + " µs"
	}
	return group(int64(f+0.5)) + " µs"
}
