package main

import (
	"runtime"
	"runtime/debug"

	"holdfast"
)

// A bill says which modules are in a program, as scanners for vulnerabilities want it: the JSON of
// CycloneDX 1.6 (ECMA-424), as far as Go's build information goes. It is read from the program
// itself, so every build has one, and it can't be another build's.
type bill struct {
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Version  int    `json:"version"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

// A component is a module, the program itself, or Go's standard library.
type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	URL        string     `json:"purl,omitempty"` // as scanners look it up
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func billOf(info *debug.BuildInfo) bill {
	b := bill{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Component = component{Type: "application", Name: "holdfast", Version: holdfast.Version}
	for _, s := range info.Settings {
		if s.Value == "" {
			continue
		}
		b.Metadata.Component.Properties = append(b.Metadata.Component.Properties, property{"go:" + s.Key, s.Value})
	}
	b.Components = []component{module("stdlib", runtime.Version(), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, module(m.Path, m.Version, m.Sum))
	}
	return b
}

// module is a module of Go. sum is go.sum's: SHA-256 over the files' own, so not a hash of one
// file.
func module(path, version, sum string) component {
	c := component{Type: "library", Name: path, Version: version, URL: "pkg:golang/" + path + "@" + version}
	if sum != "" {
		c.Properties = []property{{"go:sum", sum}}
	}
	return c
}
