package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is that of --tls-cert, read again when its files change, so that it can be renewed while the server
// runs. Files that do not fit together, as half way through a renewal, leave it as it was.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]int64 // when the files had changed, of what was read
	looked  time.Time
}

// certificateCheck is how often the files are looked at, at most.
const certificateCheck = time.Second

// newTLS returns nil where f asks for no TLS.
func newTLS(f *flags) (*tls.Config, error) {
	if f.TLSCert == "" && f.TLSKey == "" {
		return nil, nil
	}
	c := &certificate{certFile: f.TLSCert, keyFile: f.TLSKey}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > certificateCheck {
		if err := c.load(); err != nil {
			slog.Error("the certificate stays as it was", "err", err)
		}
	}
	return c.current, nil
}

// load reads the files if they have changed since they were last read, well or badly.
func (c *certificate) load() error {
	c.looked = time.Now()
	var changed [2]int64
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		changed[i] = info.ModTime().UnixNano()
	}
	if changed == c.read {
		return nil
	}
	c.read = changed
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS: %s with %s: %w", c.certFile, c.keyFile, err)
	}
	if c.current != nil {
		slog.Info("reloaded", "certificate", c.certFile, "until", pair.Leaf.NotAfter)
	}
	c.current = &pair
	return nil
}
