package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes, written with a unit: 64MiB, 1GiB, 100MB, or a plain number.
type Bytes int64

var byteUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseBytes reads a size such as 64MiB.
func ParseBytes(text string) (Bytes, error) {
	suffix := strings.TrimLeft(text, "0123456789.")
	digits := text[:len(text)-len(suffix)]
	suffix = strings.TrimLeft(suffix, " ")
	for _, unit := range byteUnits {
		if suffix != unit.suffix {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || n < 0 || n*unit.bytes > math.MaxInt64/2 {
			break
		}
		return Bytes(n * unit.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size; write it like 64MiB or 1GiB", text)
}

// String returns the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if unit := Bytes(byteUnits[i].bytes); b >= unit && b%unit == 0 {
			return strconv.FormatInt(int64(b/unit), 10) + byteUnits[i].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Set sets the size from a flag's text.
func (b *Bytes) Set(text string) (err error) {
	*b, err = ParseBytes(text)
	return err
}

// Type names the flag's value in help texts.
func (b *Bytes) Type() string { return "size" }

// parseDuration reads Go's durations and whole days, as in 7d.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && math.Abs(n) < 36500 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration; write it like 30s, 15m, 12h or 7d", text)
}

// parseTime reads a time in RFC 3339, or a day in UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write it like 2026-01-31T15:04:05Z", text)
}

// AccessMode is a Unix socket's permission bits, written in octal.
type AccessMode fs.FileMode

// DefaultMode is for the owner only, memcached's default.
const DefaultMode AccessMode = 0o700

// ParseMode reads octal permission bits such as 0770.
func ParseMode(text string) (AccessMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is not an access mode; write it in octal, like 0700", text)
	}
	return AccessMode(n), nil
}

func parseLevel(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("%q is not a level: debug, info, warn or error", text)
	}
	return level, nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is out of range", text)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

func parseFloat(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}
