package server

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"holdfast/mc"
)

// Limits and answers of the admin commands, as memcached's.
const (
	maxVerbosity       = 2
	minMemLimit        = 8             // MiB
	maxMemLimit        = 1_000_000_000 // MiB; more were bytes
	maxCrawlerSleep    = 1_000_000     // µs
	maxAutomove        = 2
	answerError        = "ERROR\r\n"
	answerNoWatch      = "CLIENT_ERROR watch commands not allowed\r\n"
	answerNoMetadump   = "ERROR metadump not allowed\r\n"
	answerNoMgdump     = "ERROR key dump not allowed\r\n"
	answerNoPipeWatch  = "ERROR cannot pipeline other commands before watch\r\n"
	answerManyWatchers = "WATCHER_TOO_MANY log watcher limit reached\r\n"
)

// An admin answers one request about the connection or the server, which is alone in its batch.
type admin struct {
	conn   *conn
	server *Server
	batch  *mc.Batch // the connection's
}

// admin answers r.
func (c *conn) admin(r *mc.Request) {
	a := admin{conn: c, server: c.server, batch: c.work.batch}
	if c.dialect.binary != nil {
		a.binary(r)
		return
	}
	out := len(a.batch.Out)
	a.text(r)
	if r.NoReply {
		a.batch.Out = a.batch.Out[:out]
	}
}

// text answers a request of the text protocol.
func (a admin) text(r *mc.Request) {
	args := bytes.Fields(r.Args)
	switch r.Op {
	case mc.Version:
		a.answer("VERSION " + a.server.options.Version + "\r\n")
	case mc.Quit:
		a.conn.endWith(closeNormal)
	case mc.Verbosity:
		a.answer(a.setVerbosity(args))
	case mc.Stats:
		a.stats(args)
	case mc.Shutdown:
		a.shutdown(args)
	case mc.Watch:
		a.startWatch(args)
	case mc.Crawler:
		a.crawler(args)
	case mc.MemLimit:
		a.answer(a.setMemLimit(args))
	case mc.Slabs:
		a.answer(answerSlabs(args))
	case mc.LRU:
		a.answer(answerLRU(args))
	case mc.RefreshCerts:
		a.answer(a.refreshCerts())
	case mc.Misbehave: // "OK" would say that the process may open no sockets and run nothing
		a.answer(answerError)
	case mc.DebugTime:
		a.answer(a.debugTime(args))
	default:
		a.answer(answerError)
	}
}

func (a admin) setVerbosity(args [][]byte) string {
	level, ok := number(args, 0)
	if !ok {
		return mc.BadLine
	}
	a.server.verbosity.Store(int64(min(level, maxVerbosity)))
	return mc.OK
}

// shutdown closes the connection and closes Server.Asked, which ends Serve.
func (a admin) shutdown(args [][]byte) {
	s := a.server
	switch {
	case !s.options.ShutdownCommand:
		a.answer("SERVER_ERROR: shutdown not enabled\r\n")
	case len(args) == 0, len(args) == 1 && string(args[0]) == "graceful": // both drain here
		a.conn.endWith(closeShutdown)
		s.askOnce.Do(func() { close(s.asked) })
	default:
		a.answer("CLIENT_ERROR invalid shutdown mode\r\n")
	}
}

var watchWords = map[string]WatchKinds{
	"rawcmds": WatchCommands, "evictions": WatchEvictions, "fetchers": WatchFetchers, "mutations": WatchMutations,
	"connevents": WatchConnections, "deletions": WatchDeletions,
	"sysevents": watchNothing, "proxyreqs": watchNothing, "proxyevents": watchNothing, "proxyuser": watchNothing,
}

// startWatch makes the connection a watcher: from now on it only receives events.
func (a admin) startWatch(args [][]byte) {
	switch {
	case a.server.options.NoWatch:
		a.answer(answerNoWatch)
		return
	case a.conn.work.answers > 0:
		a.answer(answerNoPipeWatch)
		return
	}
	var kinds WatchKinds
	for _, arg := range args {
		kind, ok := watchWords[string(arg)]
		if !ok {
			a.answer(answerError)
			return
		}
		kinds |= kind
	}
	if len(args) == 0 {
		kinds = WatchFetchers
	}
	if !a.server.watch.add(a.conn, kinds) {
		a.answer(answerManyWatchers)
		return
	}
	a.answer(mc.OK)
}

// setMemLimit checks cache_memlimit as memcached does, and then refuses it: a cache maps its memory
// once, and a router has none.
func (a admin) setMemLimit(args [][]byte) string {
	limit, ok := number(args, 0)
	switch {
	case !ok:
		return answerError
	case limit < minMemLimit:
		return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
	case limit > maxMemLimit:
		return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
	}
	a.server.log.Warn("cache_memlimit refused: the memory limit is fixed at the start", "limit_mib", limit)
	return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
}

// answerSlabs accepts the settings of memcached's slabs, which have no effect here.
func answerSlabs(args [][]byte) string {
	switch {
	case len(args) == 3 && string(args[0]) == "reassign":
		return "CLIENT_ERROR slab reassignment disabled\r\n"
	case len(args) >= 2 && string(args[0]) == "automove":
		return answerAutomove(args[1:])
	}
	return answerError
}

func answerAutomove(args [][]byte) string {
	switch string(args[0]) {
	case "ratio", "freeratio":
		if len(args) < 2 {
			return answerError
		}
		if _, err := strconv.ParseFloat(string(args[1]), 64); err != nil {
			return answerError
		}
		return mc.OK
	case "window":
		if _, ok := number(args, 1); !ok {
			return mc.BadLine
		}
		return mc.OK
	}
	level, ok := number(args, 0)
	switch {
	case !ok:
		return mc.BadLine
	case level > maxAutomove:
		return answerError
	}
	return mc.OK
}

// answerLRU accepts the settings of memcached's LRU, which have no effect here.
func answerLRU(args [][]byte) string {
	if len(args) == 0 {
		return answerError
	}
	switch string(args[0]) {
	case "tune":
		if len(args) >= 5 {
			return mc.OK
		}
	case "mode":
		if len(args) >= 2 && (string(args[1]) == "flat" || string(args[1]) == "segmented") {
			return mc.OK
		}
	case "temp_ttl":
		if _, err := strconv.Atoi(string(bytes.Join(args[1:], nil))); err == nil {
			return mc.OK
		}
	}
	return answerError
}

func (a admin) refreshCerts() string {
	if a.server.tls == nil {
		return "Error TLS not enabled\r\n"
	}
	if err := a.server.tls.load(); err != nil {
		return "Error " + strings.ReplaceAll(err.Error(), "\n", " ") + "\r\n"
	}
	return mc.OK
}

// debugTime moves the backend's clock: "debugtime p" stops it, "r" lets it go on, a number of
// seconds advances it.
func (a admin) debugTime(args [][]byte) string {
	clock := a.server.optional.clock
	if len(args) == 0 || clock == nil {
		return answerError
	}
	switch word := string(args[0]); word {
	case "p":
		clock.PauseClock(true)
	case "r":
		clock.PauseClock(false)
	default:
		seconds, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return answerError
		}
		clock.AdvanceClock(time.Duration(seconds) * time.Second)
	}
	return mc.OK
}

// number is the argument at index i, if it is a number of 32 bits without a sign.
func number(args [][]byte, i int) (uint32, bool) {
	if i >= len(args) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(args[i]), 10, 32)
	return uint32(n), err == nil
}

// answer appends a line of the server's own.
func (a admin) answer(line string) { a.batch.Out = append(a.batch.Out, line...) }
