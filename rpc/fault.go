package rpc

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Fault is why a connection ended or didn't come about.
type Fault uint8

// The faults.
const (
	Unreachable   Fault = iota // nothing answered at the peer's address
	Broken                     // the other end, or something between, ended the connection
	Silent                     // the other end sent nothing for too long
	Stalled                    // the other end read nothing for too long
	Late                       // the handshake took too long
	Crowded                    // too many connections were in their handshake
	Untrusted                  // TLS failed: no certificate, one that isn't valid, or no TLS
	WrongName                  // the certificate isn't that of the node
	Garbled                    // no hello where one should be
	WrongVersion               // no common version of the protocol
	WrongCluster               // a hello or frame of another cluster
	WrongReceiver              // a hello or frame for another node
	WrongSender                // a hello of a node that is no peer, or a frame of another node than the hello's
	WrongLength                // a frame above the limit, or shorter than its header
	WrongChecksum              // a frame that was damaged
	Unexpected                 // a frame out of place, or one that has what its type hasn't
	Replaced                   // the peer has dialled again
	Misfit                     // a node that can't be of the cluster that is being formed, or was formed
	Outdated                   // what a node says of its life contradicts what the other knows of it
	faults        = iota
)

var faultNames = [faults]string{
	Unreachable: "unreachable", Broken: "broken", Silent: "silent", Stalled: "stalled", Late: "late",
	Crowded: "crowded", Untrusted: "untrusted", WrongName: "wrong_name", Garbled: "garbled",
	WrongVersion: "wrong_version", WrongCluster: "wrong_cluster", WrongReceiver: "wrong_receiver",
	WrongSender: "wrong_sender", WrongLength: "wrong_length", WrongChecksum: "wrong_checksum",
	Unexpected: "unexpected", Replaced: "replaced", Misfit: "misfit", Outdated: "outdated",
}

// String returns the fault's name, as a metric's label has it.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

// fault is a Fault with what was seen.
type fault struct {
	Fault
	err error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultOf(which Fault, err error) *fault { return &fault{Fault: which, err: err} }

func faultf(which Fault, format string, args ...any) *fault {
	return faultOf(which, fmt.Errorf(format, args...))
}

// faultLog counts faults, and logs each kind of them at a bounded rate.
type faultLog struct {
	log   *slog.Logger
	every time.Duration

	mu     sync.Mutex // guards all below
	counts [faults]uint64
	next   [faults]time.Time // when one may be logged again
	silent [faults]uint64    // that weren't logged since the last that was
}

// add counts a fault, and logs it unless one of its kind was logged just now.
func (l *faultLog) add(f *fault, text string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	l.counts[f.Fault]++
	if now.Before(l.next[f.Fault]) {
		l.silent[f.Fault]++
		l.mu.Unlock()
		return
	}
	silent := l.silent[f.Fault]
	l.next[f.Fault], l.silent[f.Fault] = now.Add(l.every), 0
	l.mu.Unlock()
	args = append(args, "fault", f.Fault.String(), "err", f.err)
	if silent > 0 {
		args = append(args, "not_logged", silent)
	}
	l.log.Warn(text, args...)
}

func (l *faultLog) all() map[Fault]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[Fault]uint64, faults)
	for f, n := range l.counts {
		all[Fault(f)] = n
	}
	return all
}
