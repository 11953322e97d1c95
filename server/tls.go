package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLS says with which certificate the server speaks TLS.
type TLS struct {
	Certificate string // file in PEM form: the chain, and the key too unless Key names it; ssl_chain_cert
	Key         string // file in PEM form; ssl_key
	// VerifyMode is memcached's ssl_verify_mode: 0 asks clients for no certificate, 1 and 3 verify
	// the one that a client shows, 2 requires one.
	VerifyMode int
	CA         string // file in PEM form: the authorities of clients' certificates; default the system's; ssl_ca_cert
	MinVersion uint16 // tls.VersionTLS12 (the default) or tls.VersionTLS13, or older; ssl_min_version
}

// certificateCheck is the shortest time between two checks of whether the files have changed.
const certificateCheck = time.Second

// certificates is the certificate in use; it is read again when its files change.
type certificates struct {
	options TLS
	log     *slog.Logger
	current atomic.Pointer[loadedTLS]

	mu      sync.Mutex // guards what follows
	checked time.Time  // when the files' times were last checked
	changed time.Time  // the newest of them, as loaded
}

// loadedTLS is one reading of the files: a configuration for listeners, and one for those that
// require a client's certificate.
type loadedTLS struct {
	usual, mutual *tls.Config
	at            time.Time
}

func openCertificates(o TLS, log *slog.Logger) (*certificates, error) {
	if o.VerifyMode < 0 || o.VerifyMode > 3 {
		return nil, fmt.Errorf("TLS: verify mode %d; at least 0, at most 3", o.VerifyMode)
	}
	if o.MinVersion == 0 {
		o.MinVersion = tls.VersionTLS12
	}
	c := &certificates{options: o, log: log}
	return c, c.load()
}

// load reads the files. On an error the previous certificate stays in use.
func (c *certificates) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.newest()
	key := c.options.Key
	if key == "" {
		key = c.options.Certificate
	}
	pair, err := tls.LoadX509KeyPair(c.options.Certificate, key)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	usual := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: c.options.MinVersion}
	if c.options.CA != "" {
		pem, err := os.ReadFile(c.options.CA)
		if err != nil {
			return fmt.Errorf("TLS client authority: %w", err)
		}
		usual.ClientCAs = x509.NewCertPool()
		if !usual.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("TLS client authority: no certificate in %s", c.options.CA)
		}
	}
	switch c.options.VerifyMode {
	case 1, 3:
		usual.ClientAuth = tls.VerifyClientCertIfGiven
	case 2:
		usual.ClientAuth = tls.RequireAndVerifyClientCert
	}
	mutual := usual.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	c.changed, c.checked = changed, time.Now()
	c.current.Store(&loadedTLS{usual: usual, mutual: mutual, at: time.Now()})
	return nil
}

// ListenerTLS is for a listener that isn't a Server's, such as one of HTTP. It reads the files as a
// Server does: again when they have changed.
func ListenerTLS(o TLS, log *slog.Logger) (*tls.Config, error) {
	c, err := openCertificates(o, log)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         c.options.MinVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.config(false), nil },
	}, nil
}

// config is for one handshake.
func (c *certificates) config(mutual bool) *tls.Config {
	if c.stale() {
		if err := c.load(); err != nil { // a pair that is half written; a handshake after it tries again
			c.log.Warn("the changed certificate can't be used; the previous one stays in use", "err", err)
		}
	}
	if mutual {
		return c.current.Load().mutual
	}
	return c.current.Load().usual
}

func (c *certificates) stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck {
		return false
	}
	c.checked = time.Now()
	return c.newest().After(c.changed)
}

// newest is when the files changed last.
func (c *certificates) newest() time.Time {
	var newest time.Time
	for _, path := range []string{c.options.Certificate, c.options.Key, c.options.CA} {
		if info, err := os.Stat(path); path != "" && err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// age is how long ago the files were read.
func (c *certificates) age() time.Duration { return time.Since(c.current.Load().at) }
