package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"holdfast"
)

func newVersionCommand() *cobra.Command {
	var asJSON, asSBOM bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case asSBOM:
				info, ok := debug.ReadBuildInfo()
				if !ok {
					return errors.New("this program was built without build information")
				}
				return printIndented(cmd.OutOrStdout(), billOf(info))
			case asJSON:
				return printIndented(cmd.OutOrStdout(), currentBuild())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText(""))
			return err
		},
	}
	cmd.Flags().BoolVar(&asSBOM, "sbom", false,
		"print the modules in this program: a bill of materials, as CycloneDX JSON")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON, with the commit and its time")
	return cmd
}

func printIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// memcachedVersion is the version of memcached whose protocols are implemented.
const memcachedVersion = "1.6.40"

// A build is what this program is. Its JSON is for scripts: fields are added, and never renamed.
type build struct {
	Version   string `json:"version"`
	Memcached string `json:"memcached_protocol"`
	Go        string `json:"go"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Commit    string `json:"commit,omitempty"` // "" where it wasn't built in a checkout
	Time      string `json:"commit_time,omitempty"`
	Modified  *bool  `json:"modified,omitempty"` // whether the checkout had changes on top of the commit; likewise
}

func currentBuild() build {
	b := build{
		Version:   holdfast.Version,
		Memcached: memcachedVersion,
		Go:        runtime.Version(),
		OS:        runtime.GOOS,
		Arch:      runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			modified := s.Value == "true"
			b.Modified = &modified
		}
	}
	return b
}

// versionText returns the version. It doesn't depend on the program's name.
func versionText(string) string {
	return fmt.Sprintf("holdfast %s (memcached's protocols as of %s; %s %s/%s)",
		holdfast.Version, memcachedVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func licenseText(string) string {
	return `Holdfast is licensed under the Apache License, Version 2.0:
http://www.apache.org/licenses/LICENSE-2.0`
}
