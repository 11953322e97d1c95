package wire

import (
	"bytes"
	"fmt"
)

// ownKey picks one of the loader's own keys, whose item it knows.
func (l *loader) ownKey() (string, *ownItem) {
	n := l.rng.IntN(len(l.own))
	for key, it := range l.own {
		if n--; n < 0 {
			return key, it
		}
	}
	return "", nil
}

func (l *loader) ownStep() {
	key, it := l.ownKey()
	value, flags, ttl := l.block(key), flagsOf(key), l.ttl()
	switch op := l.rng.IntN(14); {
	case op < 4:
		l.ask(func() error { return l.ownValue(key, it) }, "get %s\r\n", key)
	case op < 8:
		l.ask(l.ownStored(key, it, value, ttl, "set"), "set %s %d %d %d\r\n%s\r\n", key, flags, ttl, len(value), value)
	case op < 9:
		l.ask(l.ownStored(key, it, value, ttl, "add"), "add %s %d %d %d\r\n%s\r\n", key, flags, ttl, len(value), value)
	case op < 10:
		l.ask(l.ownStored(key, it, value, ttl, "replace"), "replace %s %d %d %d\r\n%s\r\n",
			key, flags, ttl, len(value), value)
	case op < 12:
		value = appendBlock(nil, key, l.seed, l.rng.IntN(4000))
		l.ask(l.ownExtended(key, it, value, op == 10), "%s %s 0 0 %d\r\n%s\r\n",
			pickName(op == 10, "prepend", "append"), key, len(value), value)
	case op < 13:
		l.ask(l.ownTouched(key, it, ttl), "touch %s %d\r\n", key, ttl)
	default:
		l.ask(func() error {
			present := it.value != nil
			it.value = nil
			return l.mayBeGone(key, it, present, "DELETED", "NOT_FOUND")
		}, "delete %s\r\n", key)
	}
}

func pickName(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// mayBeGone checks an answer that says whether the item is there. An item may have been evicted,
// but never appear.
func (l *loader) mayBeGone(key string, it *ownItem, present bool, yes, no string) error {
	got, err := l.line()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case got == yes && present:
		return nil
	case got == no && (!present || l.mayMiss || it.expires):
		it.value = nil
		return nil
	}
	return fmt.Errorf("%s: got %.100q, and it was there: %v", key, got, present)
}

// largeBytes is less than the size of a large value. When slow clients pin many large values, a
// read of one may miss although it is there later.
const largeBytes = 32<<10 - 512

// ownValue checks the answer to a get.
func (l *loader) ownValue(key string, it *ownItem) error {
	got, value, flags, _, err := l.value()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case got == "" && it.value != nil && !l.mayMiss && !it.expires:
		return fmt.Errorf("%s: got a miss; want %d bytes", key, len(it.value))
	case got == "" && len(it.value) < largeBytes:
		it.value = nil
		return nil
	case got == "":
		return nil
	case got != key || it.value == nil:
		return fmt.Errorf("%s: got %d bytes of %s; want a miss: %.80q", key, len(value), got, value)
	case !bytes.Equal(value, it.value):
		return fmt.Errorf("%s: got %d bytes %.60q; want %d bytes %.60q: %v",
			key, len(value), value, len(it.value), it.value, checkValue(key, value))
	case flags != flagsOf(key):
		return fmt.Errorf("%s: flags %d; want %d", key, flags, flagsOf(key))
	}
	return l.one("get "+key, "END")()
}

// ownStored checks the answer to set, add and replace.
func (l *loader) ownStored(key string, it *ownItem, value []byte, ttl int, command string) func() error {
	return func() error {
		got, err := l.line()
		present := it.value != nil
		sure := present && !l.mayMiss && !it.expires
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", command, key, err)
		case got == noMemory && l.mayMiss:
			if command == "set" {
				it.value = nil // a set that fails removes the item
			}
			return nil
		case got == "STORED" && (command == "set" || command == "add" && !sure || command == "replace" && present):
			it.value, it.expires = value, ttl != 0
			return nil
		case got == "NOT_STORED" && command == "add" && present:
			return nil
		case got == "NOT_STORED" && command == "replace" && !sure:
			it.value = nil
			return nil
		}
		return fmt.Errorf("%s %s: got %.100q, and it was there: %v", command, key, got, present)
	}
}

// ownExtended checks the answer to append and prepend.
func (l *loader) ownExtended(key string, it *ownItem, value []byte, before bool) func() error {
	return func() error {
		got, err := l.line()
		present := it.value != nil
		tooLarge := len(key)+len(it.value)+len(value)+memcachedHeader > l.most
		switch {
		case err != nil:
			return fmt.Errorf("append %s: %w", key, err)
		case got == noMemory && l.mayMiss, got == "NOT_STORED" && present && tooLarge:
			return nil
		case got == "NOT_STORED" && (!present || l.mayMiss || it.expires):
			it.value = nil
			return nil
		case got == "STORED" && present && !tooLarge:
			if before {
				it.value = append(bytes.Clone(value), it.value...)
			} else {
				it.value = append(bytes.Clone(it.value), value...)
			}
			return nil
		}
		return fmt.Errorf("append %s: got %.100q, and it was there: %v", key, got, present)
	}
}

// memcachedHeader is what memcached counts of an item's header against -I.
const memcachedHeader = 59

func (l *loader) ownTouched(key string, it *ownItem, ttl int) func() error {
	return func() error {
		err := l.mayBeGone(key, it, it.value != nil, "TOUCHED", "NOT_FOUND")
		if it.value != nil {
			it.expires = ttl != 0
		}
		return err
	}
}

// compareAndSet replaces an item of its own with its CAS, and then with a wrong CAS.
func (l *loader) compareAndSet() error {
	key, it := l.ownKey()
	var unique uint64
	l.ask(func() error {
		got, value, _, cas, err := l.value()
		if err != nil || got == "" {
			return err
		}
		if !bytes.Equal(value, it.value) {
			return fmt.Errorf("gets %s: got %d bytes %.60q; want %d bytes %.60q",
				key, len(value), value, len(it.value), it.value)
		}
		unique = cas
		return l.one("gets "+key, "END")()
	}, "gets %s\r\n", key)
	if err := l.flush(); err != nil || unique == 0 {
		return err
	}
	value := l.block(key)
	for _, c := range []struct {
		unique uint64
		value  []byte
		yes    string
	}{{unique, value, "STORED"}, {unique + 1<<40, []byte("wrong"), "EXISTS"}} {
		l.ask(func() error {
			got, err := l.line()
			switch {
			case err != nil:
				return err
			case got == noMemory && l.mayMiss:
				return nil
			case got == "NOT_FOUND" && (l.mayMiss || it.expires):
				it.value = nil
				return nil
			case got == c.yes && c.yes == "STORED":
				it.value, it.expires = c.value, false
				return nil
			case got == c.yes:
				return nil
			}
			return fmt.Errorf("cas %s: got %q; want %s", key, got, c.yes)
		}, "cas %s %d 0 %d %d\r\n%s\r\n", key, flagsOf(key), len(c.value), c.unique, c.value)
	}
	return l.flush()
}
