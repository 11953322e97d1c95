package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"holdfast/config"
	"holdfast/rpc"
)

// clusterTLS returns how a node proves who it is; nil without TLS. The certificate is read again for
// each connection, so that it can be renewed while the node runs; the authorities are read once.
func clusterTLS(c *config.ClusterTLS) (*rpc.TLS, error) {
	if !c.On() {
		return nil, nil
	}
	certificate, key := c.Certificate, c.Key
	if key == "" {
		key = certificate
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("cluster.tls.ca: %w", err)
	}
	t := &rpc.TLS{CAs: x509.NewCertPool(), Certificate: func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("cluster.tls.certificate, key: %w", err)
		}
		return &pair, nil
	}}
	if !t.CAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cluster.tls.ca: %s has no certificate", c.CA)
	}
	_, err = t.Certificate()
	return t, err
}
