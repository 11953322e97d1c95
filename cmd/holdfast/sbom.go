package main

import (
	"runtime"
	"runtime/debug"

	"holdfast"
)

// A bill lists the modules of a program for vulnerability scanners, as CycloneDX 1.6 JSON
// (ECMA-424) with the fields that Go's build information provides. It is read from the program
// itself, so every build has one, and it always matches the build.
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

// module returns the component for a Go module. sum is from go.sum: a SHA-256 over the files'
// hashes, so it isn't the hash of one file.
func module(path, version, sum string) component {
	c := component{Type: "library", Name: path, Version: version, URL: "pkg:golang/" + path + "@" + version}
	if sum != "" {
		c.Properties = []property{{"go:sum", sum}}
	}
	return c
}
