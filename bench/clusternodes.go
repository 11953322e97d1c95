package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const clusterNodes = 3

// holdfastSetup is a cluster of Holdfast, each node with a file of its own, as in docs/operations.md;
// all settings but addresses, directories and the number of shards of a table are the defaults.
func holdfastSetup(path, dir string, shards int) (s clusterSetup, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	addresses, err := freeAddresses(3 * clusterNodes)
	if err != nil {
		return s, err
	}
	tables, web, members := addresses[:clusterNodes], addresses[clusterNodes:2*clusterNodes], addresses[2*clusterNodes:]
	data := filepath.Join(dir, "data")
	s = clusterSetup{name: "holdfast, 3 nodes", addresses: tables, web: web, tokens: true, dial: dialHoldfast}
	s.leads = func(node int) (bool, error) { return holdfastLeads(web[node]) }
	s.form = func(ctx context.Context) error { return formHoldfast(ctx, path, data) }
	for i := range clusterNodes {
		file := filepath.Join(dir, fmt.Sprintf("node-%d.yaml", i+1))
		if err := os.WriteFile(file, []byte(nodeFile(i, data, tables[i], web[i], members, shards)), 0o600); err != nil {
			return s, err
		}
		s.nodes = append(s.nodes, spec{name: fmt.Sprintf("holdfast, node %d", i+1),
			argv: []string{path, "up", "--config", file}})
	}
	return s, nil
}

// nodeFile is the configuration of a node; i is its ID less one.
func nodeFile(i int, data, tables, web string, members []string, shards int) string {
	var listed []string
	for n, address := range members {
		listed = append(listed, fmt.Sprintf("{id: %d, address: %q}", n+1, address))
	}
	return fmt.Sprintf("cluster: {name: holdfast, node: %d, members: [%s]}\n"+
		"tables: {data: %q, new_shards: %d, listen: %q}\nhttp: {listen: %q}\ncache: {listen: [\"127.0.0.1:0\"]}\n",
		i+1, strings.Join(listed, ", "), filepath.Join(data, strconv.Itoa(i+1)), shards, tables, web)
}

// formHoldfast starts all nodes in one process, which makes their directories, and stops them once
// one leads.
func formHoldfast(ctx context.Context, path, data string) error {
	web, err := freeInRow(clusterNodes)
	if err != nil {
		return err
	}
	former := spec{name: "holdfast, forming the cluster", portFlag: "--http-listen", whole: true,
		argv: []string{path, "up", "--nodes", strconv.Itoa(clusterNodes), "--data", data, "--cache-listen",
			"127.0.0.1:0",
			"--tables-listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0"}}
	s, err := former.launch(web[0])
	if err != nil {
		return err
	}
	err = await(ctx, []*server{s}, func() error {
		for _, address := range web {
			if leads, err := holdfastLeads(address); leads || err != nil {
				return err
			}
		}
		return errLeader
	})
	return errors.Join(err, s.stop())
}

// freeInRow are addresses with ports that follow each other: the nodes of one process take as many,
// from the one that is named on.
func freeInRow(count int) ([]string, error) {
	for range 100 {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		_, text, _ := net.SplitHostPort(address)
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		var addresses []string
		for i := range count {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)))
			if err != nil {
				break
			}
			l.Close()
			addresses = append(addresses, l.Addr().String())
		}
		if len(addresses) == count {
			return addresses, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports in a row", count)
}

// holdfastLeads asks a node's HTTP whether the node leads.
func holdfastLeads(web string) (bool, error) {
	c := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := c.Get("http://" + web + "/status")
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	var status struct {
		Cluster *struct {
			Leads bool `json:"leads"`
		} `json:"cluster"`
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return false, fmt.Errorf("/status of %s: %w", web, err)
	}
	if status.Cluster == nil {
		return false, fmt.Errorf("/status of %s has no cluster", web)
	}
	return status.Cluster.Leads, nil
}

// holdfastAlone is one node that is in no cluster.
func holdfastAlone(path, dir string) (s clusterSetup, err error) {
	address, err := freeAddress()
	if err != nil {
		return s, err
	}
	s = clusterSetup{name: "holdfast, 1 node", addresses: []string{address}, tokens: true, dial: dialHoldfast}
	s.leads = func(int) (bool, error) { return true, nil }
	s.nodes = []spec{tablesAlone(s.name, path, dir)}
	return s, nil
}

// A holdfastClient is a connection to a node of Holdfast, whose clients use one table.
type holdfastClient struct {
	*dynamoClient
	table, acknowledge string // the table's name, and what its writes wait for; "": the default
	request            []byte // used again by the next one
}

func dialHoldfast(address string) (kvClient, error) {
	c, err := dialDynamo(address)
	return &holdfastClient{dynamoClient: c, table: "bench"}, err
}

func (c *holdfastClient) ping() error {
	_, err := c.ask("ListTables", []byte("{}"))
	return err
}

func (c *holdfastClient) prepare() error {
	body := strings.Replace(benchTable, `"bench"`, strconv.Quote(c.table), 1)
	if c.acknowledge != "" {
		body = fmt.Sprintf(`%s,"Tags":[{"Key":"holdfast:acknowledge","Value":%q}]}`, strings.TrimSuffix(body, "}"),
			c.acknowledge)
	}
	if _, err := c.ask("CreateTable", []byte(body)); err != nil {
		return err
	}
	return c.awaitActive(c.table)
}

func (c *holdfastClient) put(item, n int) error {
	c.request = append(c.request[:0], `{"TableName":"`...)
	c.request = append(c.request, c.table...)
	c.request = append(c.request, `","Item":{"id":{"S":"`...)
	c.request = clusterKey(c.request, item)
	c.request = append(c.request, `"},"value":{"S":"`...)
	c.request = append(c.request, clusterValue(n)...)
	c.request = append(c.request, `"}}}`...)
	_, err := c.ask("PutItem", c.request)
	return err
}

// firstToken is that of a client that has seen nothing.
const firstToken = "1"

func (c *holdfastClient) get(item int, kind requestKind) error {
	c.request = append(c.request[:0], `{"TableName":"`...)
	c.request = append(c.request, c.table...)
	c.request = append(c.request, `",`...)
	switch {
	case kind == consistentRead:
		c.request = append(c.request, `"ConsistentRead":true,`...)
	case kind == tokenRead && len(c.token) == 0:
		c.token = append(c.token, firstToken...)
	}
	c.request = append(c.request, `"Key":{"id":{"S":"`...)
	c.request = clusterKey(c.request, item)
	c.request = append(c.request, `"}}}`...)
	response, err := c.ask("GetItem", c.request)
	if err == nil && !bytes.Contains(response, []byte(`"Item"`)) {
		return errMissing
	}
	return err
}

// etcdSetup is a cluster of etcd; all settings but addresses and directories are the defaults.
func etcdSetup(path, dir string) (s clusterSetup, err error) {
	addresses, err := freeAddresses(2 * clusterNodes)
	if err != nil {
		return s, err
	}
	clients, peers := addresses[:clusterNodes], addresses[clusterNodes:]
	var members []string
	for i, address := range peers {
		members = append(members, fmt.Sprintf("node-%d=http://%s", i+1, address))
	}
	s = clusterSetup{name: "etcd, 3 nodes", addresses: clients, dial: dialEtcd}
	s.leads = func(node int) (bool, error) {
		c := newEtcdClient(clients[node])
		defer c.close()
		return c.leads()
	}
	for i := range clusterNodes {
		name := fmt.Sprintf("node-%d", i+1)
		s.nodes = append(s.nodes, spec{name: "etcd, " + name, argv: []string{path, "--name", name,
			"--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", "http://" + clients[i], "--advertise-client-urls", "http://" + clients[i],
			"--listen-peer-urls", "http://" + peers[i], "--initial-advertise-peer-urls", "http://" + peers[i],
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new"}})
	}
	return s, nil
}

// An etcdKV is an etcdClient as a kvClient.
type etcdKV struct {
	*etcdClient
	key []byte // used again by the next request
}

func dialEtcd(address string) (kvClient, error) {
	return &etcdKV{etcdClient: newEtcdClient(address)}, nil
}

func (c *etcdKV) ping() error {
	_, err := c.leads()
	return err
}

func (c *etcdKV) prepare() error { return nil }

func (c *etcdKV) put(item, n int) error {
	c.key = clusterKey(c.key[:0], item)
	return c.etcdClient.put(c.key, []byte(clusterValue(n)))
}

func (c *etcdKV) get(item int, kind requestKind) error {
	c.key = clusterKey(c.key[:0], item)
	_, found, err := c.etcdClient.get(c.key, kind == eventualRead)
	if err == nil && !found {
		return errMissing
	}
	return err
}
