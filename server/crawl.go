package server

import "holdfast/mc"

// A dump is a listing of all items that a connection is being sent, piece by piece as its socket
// drains.
type dump struct {
	active bool
	mgdump bool
	cursor uint64
}

// crawler answers lru_crawler. Expired items are removed without it, so there is nothing to switch
// or to wait for; the commands are accepted for the sake of scripts.
func (a admin) crawler(args [][]byte) {
	switch {
	case len(args) == 1 && (string(args[0]) == "enable" || string(args[0]) == "disable"):
		a.server.crawlerOff.Store(string(args[0]) == "disable")
		a.answer(mc.OK)
	case len(args) != 2:
		a.answer(answerError)
	default:
		a.crawl(string(args[0]), args[1:])
	}
}

func (a admin) crawl(command string, args [][]byte) {
	value, isNumber := number(args, 0)
	switch command {
	case "crawl":
		a.answer(mc.OK)
	case "tocrawl", "sleep":
		switch {
		case !isNumber:
			a.answer(mc.BadLine)
		case command == "sleep" && value > maxCrawlerSleep:
			a.answer("CLIENT_ERROR sleep must be one second or less\r\n")
		default:
			a.answer(mc.OK)
		}
	case "metadump", "mgdump":
		a.startDump(command)
	default:
		a.answer(answerError)
	}
}

// startDump lists every item, whatever class was named: there are no classes here.
func (a admin) startDump(command string) {
	switch {
	case a.server.options.NoDump && command == "mgdump":
		a.answer(answerNoMgdump)
	case a.server.options.NoDump:
		a.answer(answerNoMetadump)
	case a.conn.work.answers > 0:
		a.answer("ERROR cannot pipeline other commands before " + command + "\r\n")
	default:
		a.conn.work.dump = dump{active: true, mgdump: command == "mgdump"}
	}
}

// listMore appends the next piece of the dump.
func (w *work) listMore(from Dumper) {
	d, b := &w.dump, w.batch
	b.Out, d.cursor = from.Dump(b.Out, d.cursor, d.mgdump)
	if d.cursor != 0 {
		return
	}
	d.active = false
	if d.mgdump {
		w.answer("EN\r\n")
	} else {
		w.answer(mc.End)
	}
}
