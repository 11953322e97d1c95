package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// fakeLeader is the node that leads of fake clusters.
const fakeLeader = 2

// fakeForming makes the directories of three nodes, whose HTTP is on ports that follow each other.
func fakeForming(data, web string) {
	host, text, _ := net.SplitHostPort(web)
	port, _ := strconv.Atoi(text)
	for node := 1; node <= clusterNodes; node++ {
		if !inMode(unformed) {
			os.MkdirAll(filepath.Join(data, strconv.Itoa(node)), 0o700)
		}
		fakeStatus(node, net.JoinHostPort(host, strconv.Itoa(port+node-1)))
	}
	untilTold(func() {})
}

// fakeNode is a node with a configuration file. Its directory must be there.
func fakeNode(file string) {
	text, _ := os.ReadFile(file)
	of := func(pattern string) string {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(string(text)); found != nil {
			return found[1]
		}
		fmt.Printf("%s has no %s\n", file, pattern)
		os.Exit(1)
		return ""
	}
	node, _ := strconv.Atoi(
		of(`cluster: \{name: holdfast, node: (\d), members: \[\{id: 1, .*\{id: 3, address: "[\d.:]+"\}\]\}`))
	data := of(`tables: \{data: "(.*)", new_shards`)
	if _, err := os.Stat(data); err != nil {
		fmt.Println("no directory", data)
		os.Exit(1)
	}
	fakeStatus(node, of(`http: \{listen: "(.*)"\}`))
	fakeTables(of(`tables: .* listen: "(.*)"\}`), data)
}

// fakeStatus serves /status.
func fakeStatus(node int, address string) {
	serveOrExit(&http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"cluster":{"node":%d,"leads":%v}}`, node, node == fakeLeader)
	})})
}

// fakeEtcdNode is a node of etcd in which every key has a value.
func fakeEtcdNode(args []string) {
	address := strings.TrimPrefix(after(args, "--listen-client-urls"), "http://")
	leads := after(args, "--name") == fmt.Sprintf("node-%d", fakeLeader)
	f := &fakeEtcd{values: map[string]string{}, any: true, leads: leads}
	s := &http.Server{Addr: address, Handler: f, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	serveOrExit(s)
	untilTold(func() {})
}

// serveOrExit serves in another goroutine.
func serveOrExit(s *http.Server) { go s.Serve(listenOrExit(s.Addr)) }
