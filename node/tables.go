package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast"
	"holdfast/config"
	"holdfast/dynamodb"
	"holdfast/server"
	"holdfast/shard"
	"holdfast/table"
)

// Limits of the listener for tables. A request or a response has at most 16 MB. An idle connection
// keeps the buffer of its headers, but not that of its responses.
const (
	tablesHeaderBytes  = 16 << 10
	tablesAnswerBuffer = 16 << 10
	// from the connection, or the first byte, to the end of a header and of a short body
	tablesHeaderTime   = 5 * time.Second
	tablesWriteTimeout = time.Minute
	tablesIdleTimeout  = 5 * time.Minute
)

// TablesFiles is about the largest number of open files in the tables' directory.
const TablesFiles = 1100

// tables is the table store with its listener.
type tables struct {
	node     *Node
	disk     *shard.Store
	store    *table.Store
	handler  *dynamodb.Handler
	keysFile string
	listener net.Listener
	server   *fasthttp.Server
	gate     *gate
	member   *member // nil: the tables are on this node alone
	sessions *sessions
}

// openTables opens the directory and binds the listener. Requests wait until serve.
func openTables(o *Options, n *Node) (t *tables, err error) {
	c := o.Config.Tables
	t = &tables{node: n, keysFile: c.KeysFile, gate: newTablesGate(c.Connections)}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.drain(), t.end())
		}
	}()
	if t.listener, err = listenTables(&c, t.gate, o.Log); err != nil {
		return t, err
	}
	if o.Config.Cluster != nil {
		t.member, err = openMember(o, n.Status, n.fail)
	} else {
		err = notOfACluster(c.Data)
	}
	if err != nil {
		return t, err
	}
	var keys map[string]string
	if c.KeysFile != "" {
		if keys, err = readKeys(c.KeysFile); err != nil {
			return t, err
		}
	}
	if err := t.openStore(*o); err != nil {
		return t, fmt.Errorf("tables.data %s: %w", c.Data, err)
	}
	t.serveStore(*o, keys)
	return t, nil
}

// openStore opens the directory and the tables in it.
func (t *tables) openStore(o Options) (err error) {
	c := o.Config.Tables
	t.disk, err = shard.Open(shardOptions(o))
	if errors.Is(err, holdfast.Corrupt) && t.member == nil {
		return fmt.Errorf("%w; \"holdfast table recover %s\" shows what a start would lose", err, c.Data)
	} else if err != nil {
		return err
	}
	options := table.Options{
		Disk: t.disk, ShardsPerTable: c.NewShards, Throttle: c.Throttle, Log: o.Log, Now: o.Now,
	}
	if t.member != nil {
		if err := t.member.run(t.disk); err != nil {
			return err
		}
		options.Replicas, options.Nodes = &t.member.replicas, len(t.member.roster.is.Members)
	}
	t.store, err = table.Open(context.Background(), options)
	return err
}

// serveStore makes the handler of requests and its server.
func (t *tables) serveStore(o Options, keys map[string]string) {
	c := o.Config.Tables
	options := dynamodb.Options{
		Tables: t.store, Region: c.Region, Account: c.Account, Keys: keys, Origins: c.AnyOrigin,
		RequestBytes: c.RequestBytes(), Log: o.Log, Now: o.Now,
	}
	t.sessions = newSessions(t.member, t.store.Leads, o.Now)
	options.Sessions = t.sessions.keeper
	if c.Sessions == config.SessionsConnection {
		options.Connection = sessionOfConn
	}
	if t.member != nil {
		t.member.forwarder.leads = t.store.Leads
		options.Peers = &t.member.forwarder
	}
	t.handler = dynamodb.New(options)
	t.server = t.handler.Server()
	t.server.ReadBufferSize = tablesHeaderBytes
	t.server.WriteBufferSize = tablesAnswerBuffer
	t.server.ReduceMemoryUsage = true
	t.server.ReadTimeout = tablesHeaderTime
	t.server.WriteTimeout = tablesWriteTimeout
	t.server.IdleTimeout = tablesIdleTimeout
	// The gate limits connections; fasthttp counts one that was closed until its goroutine ends.
	t.server.Concurrency = fasthttp.DefaultConcurrency
	t.server.CloseOnShutdown = true
	t.server.LazyRequestTime = true
	t.server.ConnState = connState
}

func shardOptions(o Options) shard.Options {
	c := o.Config.Tables
	return shard.Options{
		Dir:           c.Data,
		CacheBytes:    c.CacheBytes(),
		MemTableBytes: c.MemTableBytes(),
		LogAge:        c.Log.Age,
		LogBytes:      int64(c.Log.Bytes),
		ReserveBytes:  int64(c.Reserve),
		Log:           o.Log,
		Now:           o.Now,
	}
}

// TablesHeapBytes is the part of tables.memory that is in Go's heap.
func TablesHeapBytes(c *config.Config) int64 {
	return int64(c.Tables.Memory) - shard.OffHeapBytes(shardOptions(Options{Config: *c}))
}

func listenTables(c *config.Tables, gate *gate, log *slog.Logger) (net.Listener, error) {
	listener, err := net.Listen("tcp", c.Address())
	if err != nil {
		return nil, &ListenError{"tables.listen", err}
	}
	listener = boundedListener{patientListener{listener, log}, gate, c.TLS.Certificate == "", log}
	if c.TLS.Certificate == "" {
		return listener, nil
	}
	secure, err := server.ListenerTLS(serverTLS(c.TLS), log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tables: %w", err), listener.Close())
	}
	return secureListener{listener, secure, log}, nil
}

// serve has requests served. members are the addresses of the cluster's nodes for each other.
func (t *tables) serve(members map[holdfast.NodeID]string) {
	if t.member != nil {
		t.member.start(t.store, t.handler, t.sessions, members)
	}
	go func() {
		if err := t.server.Serve(t.listener); err != nil {
			t.node.fail(fmt.Errorf("tables: %w", err))
		}
	}()
}

// faults describes what keeps the tables from serving some requests.
func (t *tables) faults() (all []string) {
	if full := t.full(); full != "" {
		all = append(all, full)
	}
	if t.member != nil {
		if fault := t.member.health(); fault != "" {
			all = append(all, fault)
		}
	}
	return all
}

// full describes a full disk, on which writes are refused; "" if the disk isn't full.
func (t *tables) full() string {
	space := t.disk.Space()
	if !space.Full {
		return ""
	}
	return "tables: " + fullText(space)
}

// reload reads the keys again.
func (t *tables) reload() error {
	if t.keysFile == "" {
		return nil
	}
	keys, err := readKeys(t.keysFile)
	if err != nil {
		return err
	}
	t.handler.SetKeys(keys)
	return nil
}

// drain drains requests in flight for a bounded time. Like end, it also works on tables that have been
// opened in part.
func (t *tables) drain() error {
	if t.listener == nil {
		return nil
	}
	err := t.shutdown()
	t.listener.Close() // again, if it served
	return err
}

// end stops the store and closes its directory. A cluster's groups are closed before, since the store
// waits for what becomes of its last entries.
func (t *tables) end() error {
	var errs []error
	if t.handler != nil {
		t.handler.Stop() // what has not been drained is canceled
	}
	t.sessions.stop()
	if t.member != nil {
		errs = append(errs, t.member.close())
	}
	if t.store != nil {
		errs = append(errs, t.store.Close())
	}
	if t.disk != nil {
		errs = append(errs, t.disk.Close())
	}
	return errors.Join(errs...)
}

// shutdown drains requests in flight for a bounded time, then cancels them and closes connections.
func (t *tables) shutdown() error {
	if t.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := t.server.ShutdownWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.gate.close()
		return nil
	}
	return err
}
