package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// The user that clients of MariaDB are, and the followers are at the leader.
const mariaUser, mariaPassword = "bench", "bench"

// mariaSetup is a leader of MariaDB with two followers: semi-synchronous replication, by which the
// leader waits for one follower before it commits (AFTER_SYNC), and never gives up waiting. Each
// server syncs its binary log and its tablespaces' log at each commit.
func mariaSetup(path, dir string) (s clusterSetup, err error) {
	addresses, err := freeAddresses(clusterNodes)
	if err != nil {
		return s, err
	}
	s = clusterSetup{name: "MariaDB, semisync, 2 followers", addresses: addresses, dial: dialMaria}
	s.leads = func(node int) (bool, error) { return node == 0, nil }
	for i, address := range addresses {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return s, err
		}
		s.nodes = append(s.nodes, spec{name: fmt.Sprintf("MariaDB, server %d", i+1),
			argv: append([]string{path}, mariaFlags(i, filepath.Join(dir, fmt.Sprint(i+1)), port)...)})
	}
	s.form = func(ctx context.Context) error { return formMaria(ctx, dir) }
	s.join = func(ctx context.Context) error { return followMaria(ctx, addresses) }
	return s, nil
}

// mariaFlags is the command line of a server. Whatever isn't named is MariaDB's default.
func mariaFlags(i int, dir, port string) []string {
	leads, readOnly := "OFF", "ON"
	if i == 0 {
		leads, readOnly = readOnly, leads
	}
	flags := []string{"--no-defaults",
		"--datadir=" + filepath.Join(dir, "data"), "--socket=" + filepath.Join(dir, "sock"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--init-file=" + filepath.Join(dir, "init.sql"),
		"--bind-address=127.0.0.1", "--port=" + port, "--skip-name-resolve", fmt.Sprintf("--server-id=%d", i+1),
		"--log-bin=binlog", "--log-slave-updates=ON", "--binlog-format=ROW", "--gtid-strict-mode=ON",
		"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--max-connections=1000",
		"--read-only=" + readOnly, "--rpl-semi-sync-master-enabled=" + leads,
		"--rpl-semi-sync-master-wait-point=AFTER_SYNC",
		"--rpl-semi-sync-master-timeout=3600000", "--rpl-semi-sync-slave-enabled=ON",
		"--slave-parallel-mode=optimistic", "--slave-parallel-threads=4"}
	if os.Geteuid() == 0 {
		flags = append(flags, "--user=root")
	}
	return flags
}

// formMaria makes the servers' directories, which begin equal, and what each runs at its start.
func formMaria(ctx context.Context, dir string) error {
	first := filepath.Join(dir, "1", "data")
	args := []string{"--no-defaults", "--datadir=" + first, "--skip-test-db",
		"--auth-root-authentication-method=normal"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if err := os.MkdirAll(first, 0o700); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mariadb-install-db", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	// Each server makes the user by itself, so the leader's log says nothing of it.
	init := fmt.Sprintf("SET sql_log_bin=0;\nCREATE USER %s@'127.0.0.1' IDENTIFIED BY '%s';\n"+
		"GRANT ALL ON *.* TO %[1]s@'127.0.0.1';\nREVOKE READ ONLY ADMIN ON *.* FROM %[1]s@'127.0.0.1';\n"+
		"CREATE DATABASE bench;\n", mariaUser, mariaPassword)
	for i := range clusterNodes {
		of := filepath.Join(dir, fmt.Sprint(i+1))
		if i > 0 {
			if err := os.CopyFS(filepath.Join(of, "data"), os.DirFS(first)); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(of, "init.sql"), []byte(init), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// followMaria has the followers follow the leader, and waits until both do.
func followMaria(ctx context.Context, addresses []string) error {
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return err
	}
	for _, address := range addresses[1:] {
		follow := fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%s, MASTER_USER='%s', "+
			"MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos", host, port, mariaUser, mariaPassword)
		err := onMaria(ctx, address, follow, "START SLAVE")
		if err != nil {
			return err
		}
	}
	return await(ctx, nil, func() error {
		n, err := mariaStatus(ctx, addresses[0], "Rpl_semi_sync_master_clients")
		if want := fmt.Sprint(len(addresses) - 1); err == nil && n != want {
			err = fmt.Errorf("the leader has %s semi-synchronous followers; want %s", n, want)
		}
		return err
	})
}

// mariaStatus is a server's variable of status.
func mariaStatus(ctx context.Context, address, name string) (string, error) {
	c, err := connectMaria(ctx, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, "SHOW STATUS LIKE '"+name+"'", nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s", row[len(row)-1]), nil
}

// connectMaria opens a connection of the driver's own, since database/sql would take processor time
// that servers share.
func connectMaria(ctx context.Context, address string) (driver.Conn, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", address, "bench"
	config.User, config.Passwd = mariaUser, mariaPassword
	config.ReadTimeout, config.WriteTimeout = dynamoTimeout, dynamoTimeout
	config.Logger = silent{} // of servers that don't answer yet
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return connector.Connect(ctx)
}

type silent struct{}

func (silent) Print(...any) {}

// onMaria runs statements on a server.
func onMaria(ctx context.Context, address string, statements ...string) error {
	c, err := connectMaria(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range statements {
		if _, err := c.(driver.ExecerContext).ExecContext(ctx, s, nil); err != nil {
			name, _, _ := strings.Cut(s, " ")
			return fmt.Errorf("%s at %s: %w", name, address, err)
		}
	}
	return nil
}

// A mariaClient is a connection to a server of MariaDB. It connects with its first request.
type mariaClient struct {
	address string
	conn    driver.Conn // nil: none was sent yet
	putting driver.Stmt // prepared with the first put
	getting driver.Stmt // likewise
}

func dialMaria(address string) (kvClient, error) { return &mariaClient{address: address}, nil }

// connected is the connection.
func (c *mariaClient) connected() (driver.Conn, error) {
	if c.conn != nil {
		return c.conn, nil
	}
	conn, err := connectMaria(context.Background(), c.address)
	if err == nil {
		c.conn = conn
	}
	return conn, err
}

// prepared is a statement, which is prepared with its first use.
func (c *mariaClient) prepared(is *driver.Stmt, query string) (driver.Stmt, error) {
	if *is != nil {
		return *is, nil
	}
	conn, err := c.connected()
	if err != nil {
		return nil, err
	}
	s, err := conn.Prepare(query)
	if err == nil {
		*is = s
	}
	return s, err
}

func (c *mariaClient) ping() error {
	conn, err := c.connected()
	if err != nil {
		return err
	}
	return conn.(driver.Pinger).Ping(context.Background())
}

func (c *mariaClient) prepare() error {
	return onMaria(context.Background(), c.address,
		"CREATE TABLE items (id VARBINARY(13) PRIMARY KEY, value VARBINARY(256) NOT NULL)")
}

func (c *mariaClient) put(item, n int) error {
	s, err := c.prepared(&c.putting, "REPLACE INTO items VALUES (?, ?)")
	if err != nil {
		return err
	}
	_, err = s.(driver.StmtExecContext).ExecContext(context.Background(), []driver.NamedValue{
		{Ordinal: 1, Value: clusterKey(nil, item)}, {Ordinal: 2, Value: clusterValue(n)}})
	return err
}

func (c *mariaClient) get(item int, _ requestKind) error {
	s, err := c.prepared(&c.getting, "SELECT value FROM items WHERE id = ?")
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(),
		[]driver.NamedValue{{Ordinal: 1, Value: clusterKey(nil, item)}})
	if err != nil {
		return err
	}
	var row [1]driver.Value
	switch err := errors.Join(rows.Next(row[:]), rows.Close()); {
	case errors.Is(err, io.EOF):
		return errMissing
	case err != nil:
		return err
	}
	if got, _ := row[0].([]byte); len(got) != clusterValueBytes {
		return fmt.Errorf("got a value of %d bytes; want %d", len(got), clusterValueBytes)
	}
	return nil
}

func (c *mariaClient) close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}
