package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxKeys is how many access keys there may be.
const maxKeys = 10000

// readKeys reads a file of lines access-key:secret. It ignores empty lines and lines that begin
// with #.
func readKeys(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tables.keys_file: %w", err)
	}
	defer file.Close()
	keys := map[string]string{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, secret, ok := strings.Cut(line, ":")
		if !ok || key == "" || secret == "" {
			return nil, fmt.Errorf("tables.keys_file %s: line %d: not access-key:secret", path, n)
		}
		if _, again := keys[key]; again {
			return nil, fmt.Errorf("tables.keys_file %s: line %d: the access key is listed twice", path, n)
		}
		keys[key] = secret
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("tables.keys_file %s: %w", path, err)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New("tables.keys_file " + path + ": no keys, so no request could be authorized")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("tables.keys_file %s: %d keys; at most %d", path, len(keys), maxKeys)
	}
	return keys, nil
}
