package config

import "testing"

func TestAddressesThatOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{":80", "127.0.0.1:80", true},
		{"[::1]:80", "0.0.0.0:80", true},
		{"[::1]:80", "[0:0::1]:80", true},
		{"localhost:80", "127.0.0.1:80", true},
		{"localhost:80", "[::1]:80", false},
		{"a.example:80", "b.example:80", false},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			if got := overlap(pair[0], pair[1]); got != test.want {
				t.Errorf("%v: got %v; want %v", pair, got, test.want)
			}
		}
	}
}

// Each kind of listener is compared with the others; a socket in the file system is not.
func TestSocketsOfNodes(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"cache":  func(c *Config) { c.Cache.Listen = []Listener{{Address: "*:8001", Mode: DefaultMode}} },
		"http":   func(c *Config) { c.HTTP.Listen = "127.0.0.1:8002" },
		"tables": func(c *Config) { c.Tables.Listen = "127.0.0.1:7099" },
		"unix":   func(c *Config) { c.Cache.Listen = []Listener{{Address: "unix:/run/a:8001", Mode: DefaultMode}} },
	} {
		c := Default()
		change(&c)
		if _, err := c.Nodes(3, "127.0.0.1:7100"); (err == nil) != (what == "unix") {
			t.Errorf("%s: got %v; want an address that is taken twice refused", what, err)
		}
	}
}
