package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"holdfast/config"
	"holdfast/config/mcrouter"
	"holdfast/config/twemproxy"
	"holdfast/node"
	"holdfast/route"
)

// configKind is the program whose configuration format a file has.
type configKind string

const (
	fromHoldfast  configKind = "Holdfast"
	fromMcrouter  configKind = "mcrouter"
	fromTwemproxy configKind = "twemproxy"
)

// A routerReading reads the configuration of a router, of any kind, at the start and at each
// reload.
type routerReading struct {
	flags *routerFlags
	set   *pflag.FlagSet
	path  string // "" if the configuration is text
	text  string

	kind  configKind   // of the configuration read last
	heard []string     // warnings about settings without effect, before log is set
	log   *slog.Logger // gets those warnings once it is set
}

// reading finds the configuration as mcrouter does: --config takes precedence over the others.
func (f *routerFlags) reading(flags *pflag.FlagSet) (*routerReading, error) {
	r := &routerReading{flags: f, set: flags}
	switch {
	case strings.HasPrefix(strings.TrimLeft(f.config, " \t\r\n"), "{"):
		r.text = f.config
	case f.config != "":
		r.path = strings.TrimPrefix(f.config, "file:")
	case f.configFile != "":
		r.path = strings.TrimPrefix(f.configFile, "file:")
	case f.configText != "":
		r.text = f.configText
	default:
		return nil, errors.New(`a router needs a configuration: --config FILE; "holdfast config" prints one to start from`)
	}
	if f.validate != "" && f.validate != "exit" && f.validate != "run" {
		return nil, fmt.Errorf("--validate-config=%s is neither exit nor run", f.validate)
	}
	return r, nil
}

// name returns the configuration's name for messages.
func (r *routerReading) name() string {
	if r.path == "" {
		return "the command line's configuration"
	}
	return r.path
}

// read returns the configuration overridden by the flags: see node.Options.Read. All faults are in
// one error, one per line below the name.
func (r *routerReading) read() (c config.Config, source node.Source, err error) {
	source.Text = []byte(r.text)
	if r.path != "" {
		source.Files = []string{r.path}
		if source.Text, err = config.ReadFile(r.path); err != nil {
			return c, source, err
		}
	}
	if c, err = r.parse(&source); err == nil {
		r.flags.above(&c, r.set, r.kind)
		err = c.Check()
	}
	return c, source, refused(r.name(), err)
}

// parse parses the text of any kind, and adds the files that it imports to source.
func (r *routerReading) parse(source *node.Source) (config.Config, error) {
	switch {
	case isMcrouter(source.Text):
		r.kind = fromMcrouter
		return r.ofMcrouter(source)
	case twemproxy.Is(source.Text):
		r.kind = fromTwemproxy
		return withRouter(ofTwemproxy(source.Text, r.warn))
	}
	r.kind = fromHoldfast
	return config.ParseRouter(source.Text)
}

func (r *routerReading) ofMcrouter(source *node.Source) (config.Config, error) {
	folder := "."
	if r.path != "" {
		folder = filepath.Dir(r.path)
	}
	load := mcrouter.Files(folder)
	o := r.flags.parseOptions()
	o.Warn = r.warn
	o.Import = func(path string) ([]byte, error) {
		file := strings.TrimPrefix(path, "file:")
		if !filepath.IsAbs(file) {
			file = filepath.Join(folder, file)
		}
		if !slices.Contains(source.Files, file) {
			source.Files = append(source.Files, file)
		}
		return load(path)
	}
	options, err := mcrouter.Parse(source.Text, o)
	if err != nil {
		return config.Config{}, err
	}
	return withRouter(config.NewMcrouter(options), nil)
}

// withRouter returns a configuration with a router and nothing else.
func withRouter(r *config.Router, err error) (config.Config, error) {
	c := config.Default()
	c.HTTP.Listen = ""
	if err != nil {
		return c, err
	}
	r.Options.SetDefaults()
	for i := range r.Listen {
		if route := r.Listen[i].Route; route != nil {
			route.SetDefaults()
		}
	}
	c.Router = r
	return c, nil
}

// warn reports a setting that has no effect here.
func (r *routerReading) warn(fault route.Fault) {
	text := fmt.Sprintf("%s: %v", r.name(), fault)
	if r.log == nil {
		r.heard = append(r.heard, text)
		return
	}
	r.log.Warn(text)
}
