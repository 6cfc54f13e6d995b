package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a key pair on disk that is read again when its files change, so that a renewal needs no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// certificateInterval is how often the files are looked at.
const certificateInterval = 10 * time.Second

// loadCertificate reads the certificate of a configuration; nil for one without.
func loadCertificate(cfg *Config, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: cfg.String("tls_cert"), keyFile: cfg.String("tls_key"), log: log}
	if c.certFile == "" {
		return nil, nil
	}
	if err := c.load(); err != nil {
		return nil, usagef("the certificate cannot be used: %w. HALLMARK_TLS_CERT and HALLMARK_TLS_KEY name its files", err)
	}
	return c, nil
}

func (c *certificate) stamps() (out [2]time.Time) {
	for i, f := range []string{c.certFile, c.keyFile} {
		if st, err := os.Stat(f); err == nil {
			out[i] = st.ModTime()
		}
	}
	return out
}

func (c *certificate) load() error {
	stamp := c.stamps()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair, c.stamp, c.checked = &pair, stamp, time.Now()
	return nil
}

// get is tls.Config.GetCertificate. Files that cannot be used leave the pair before in force.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateInterval {
		return c.pair, nil
	}
	c.checked = time.Now()
	if c.stamps() != c.stamp {
		if err := c.load(); err != nil {
			c.log.Error("the changed certificate cannot be used; the one before stays", "error", err)
		}
	}
	return c.pair, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}
