package main

import (
	"strings"
)

// An extended option is one word of -o: NAME or NAME=VALUE.
type extended struct {
	missing string // memcached's error for a missing value; "" if the option needs no value
	set     func(f *cacheFlags, value string) error
}

// extendedOptions are the options of -o that have an effect or need a value.
var extendedOptions = map[string]extended{
	"maxconns_fast":    {"", turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.ConnectionsWait })},
	"no_maxconns_fast": {"", turnOn(func(f *cacheFlags) *bool { return &f.config.Cache.ConnectionsWait })},
	"no_modern":        {"", turnOn(func(f *cacheFlags) *bool { return &f.config.Cache.ConnectionsWait })},
	"idle_timeout":     {"Missing numeric argument for idle_timeout", (*cacheFlags).setIdleTimeout},

	"watcher_logbuf_size": {"Missing watcher_logbuf_size argument", (*cacheFlags).setWatchBuffer},

	"ssl_wbuf_size": {"Missing ssl_wbuf_size argument", (*cacheFlags).setSSLWriteBuffer},
	"ssl_chain_cert": {"Missing ssl_chain_cert argument",
		func(f *cacheFlags, v string) error { f.tlsOptions.Certificate = v; return nil }},
	"ssl_key": {"Missing ssl_key argument", func(f *cacheFlags, v string) error { f.tlsOptions.Key = v; return nil }},
	"ssl_ca_cert": {"Missing ssl_ca_cert argument",
		func(f *cacheFlags, v string) error { f.tlsOptions.ClientCA = v; return nil }},
	"ssl_verify_mode": {"Missing ssl_verify_mode argument", func(f *cacheFlags, v string) (err error) {
		f.tlsVerify, err = oneOf(v, "ssl_verify_mode", 4)
		return err
	}},
	"ssl_min_version": {"Missing ssl_min_version argument", func(f *cacheFlags, v string) error {
		n, err := oneOf(v, "ssl_min_version", 4)
		f.tlsOptions.MinVersion = []string{"1.0", "1.1", "1.2", "1.3"}[n]
		return err
	}},
	"ssl_keyformat": {"Missing ssl_keyformat argument", func(_ *cacheFlags, v string) error {
		if v != "1" && v != "PEM" {
			return fail(exitFailure, "ssl_keyformat must be PEM: other formats are not supported")
		}
		return nil
	}},

	"proxy_config":    {"", refusedProxy},
	"ssl_ciphers":     {"Missing ssl_ciphers argument", nil},
	"hash_algorithm":  {"Missing hash_algorithm argument", nil},
	"hashpower":       {"Missing numeric argument for hashpower", nil},
	"slab_chunk_max":  {"Missing slab_chunk_max argument", nil},
	"slab_sizes":      {"Missing slab_sizes argument", nil},
	"temporary_ttl":   {"Missing temporary_ttl argument", nil},
	"hot_lru_pct":     {"Missing hot_lru_pct argument", nil},
	"warm_lru_pct":    {"Missing warm_lru_pct argument", nil},
	"hot_max_factor":  {"Missing hot_max_factor argument", nil},
	"warm_max_factor": {"Missing warm_max_factor argument", nil},
}

// ignoredExtended are the options of -o that are accepted but have no effect: they tune memcached's
// slabs, LRUs, threads and flash storage, which Holdfast doesn't have.
var ignoredExtended = words(`no_hashexpand slab_reassign no_slab_reassign slab_automove no_slab_automove
	slab_automove_ratio slab_automove_window slab_automove_freeratio tail_repair_time lru_crawler no_lru_crawler
	lru_crawler_sleep lru_crawler_tocrawl lru_maintainer no_lru_maintainer worker_logbuf_size
	track_sizes inline_ascii_resp no_inline_ascii_resp modern no_chunked_items drop_privileges no_drop_privileges
	relaxed_privileges resp_obj_mem_limit read_buf_mem_limit sock_cookie_id ssl_session_cache
	ssl_kernel_tls proxy_arg proxy_uring proxy_memprofile ext_path ext_page_size ext_page_count ext_wbuf_size
	ext_threads ext_io_depth ext_item_size ext_item_age ext_low_ttl ext_recache_rate ext_compact_under
	ext_drop_under ext_max_sleep ext_max_frag ext_drop_unread`)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(list) {
		set[word] = true
	}
	return set
}

// setExtended parses the value of one -o, a comma-separated list.
func (f *cacheFlags) setExtended(list string) error {
	for _, word := range strings.Split(list, ",") {
		if word == "" {
			continue
		}
		name, value, given := strings.Cut(word, "=")
		o, known := extendedOptions[name]
		switch {
		case !known && !ignoredExtended[name]:
			return fail(exitFailure, "Illegal suboption %q", word)
		case o.missing != "" && !given:
			return fail(exitFailure, "%s", o.missing)
		case o.set == nil:
			f.ignored = append(f.ignored, "-o "+name)
			continue
		}
		if err := o.set(f, value); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(value, name string, n int) (int, error) {
	if len(value) != 1 || value[0] < '0' || int(value[0]-'0') >= n {
		return 0, fail(exitFailure, "Invalid %s. Use help to see valid options.", name)
	}
	return int(value[0] - '0'), nil
}

func refusedProxy(*cacheFlags, string) error {
	return fail(exitUsage, "memcached's proxy is not supported: remove -o proxy_config")
}
