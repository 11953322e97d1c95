package group

import (
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
)

// A logger writes what Raft logs, of which most is for debugging: its warnings are those of each
// group that loses its leader.
type logger struct{ log *slog.Logger }

var _ raft.Logger = logger{}

func (l logger) Debug(v ...any)              {}
func (l logger) Debugf(f string, v ...any)   {}
func (l logger) Info(v ...any)               { l.log.Debug(fmt.Sprint(v...)) }
func (l logger) Infof(f string, v ...any)    { l.log.Debug(fmt.Sprintf(f, v...)) }
func (l logger) Warning(v ...any)            { l.log.Debug(fmt.Sprint(v...)) }
func (l logger) Warningf(f string, v ...any) { l.log.Debug(fmt.Sprintf(f, v...)) }
func (l logger) Error(v ...any)              { l.log.Error(fmt.Sprint(v...)) }
func (l logger) Errorf(f string, v ...any)   { l.log.Error(fmt.Sprintf(f, v...)) }

// Raft calls these when its own state can't be.
func (l logger) Fatal(v ...any)            { l.Panic(v...) }
func (l logger) Fatalf(f string, v ...any) { l.Panicf(f, v...) }
func (l logger) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l logger) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
