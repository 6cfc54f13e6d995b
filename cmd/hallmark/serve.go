package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/web"
)

// drainTime is how long requests in flight may take to end after the hub was asked to stop.
const drainTime = 30 * time.Second

func (p *program) logger(cfg *Config) *slog.Logger {
	var level slog.Level
	must("log_level", level.UnmarshalText([]byte(cfg.String("log_level"))))
	opt := &slog.HandlerOptions{Level: level}
	if cfg.String("log_format") == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, opt))
	}
	return slog.New(slog.NewTextHandler(p.stderr, opt))
}

// serve runs the hub until ctx ends.
func (p *program) serve(ctx context.Context, cfg *Config) error {
	// Whatever this process makes is for its user alone: the database writes its own files.
	syscall.Umask(0o077)
	log := p.logger(cfg)
	lines := web.NewBuffer(p.stderr)
	o := &opened{cfg: cfg, log: log, access: slog.New(slog.NewJSONHandler(lines, nil))}
	o.closes = append(o.closes, lines.Close)
	defer o.close()
	if err := o.open(ctx); err != nil {
		return err
	}
	h, err := wire(ctx, o)
	if err != nil {
		return err
	}
	s := &servers{log: log, failed: make(chan error, 3)}
	if err := s.listen(cfg, h); err != nil {
		s.stop()
		return err
	}
	jobs, stopJobs := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); h.background(jobs) }()
	p.welcome(cfg, h, s.address)
	select {
	case <-ctx.Done():
		log.Info("ending: requests in flight have 30 s")
	case err = <-s.failed:
	}
	h.ready.Store(false)
	s.stop()
	stopJobs()
	<-ended
	return err
}

// servers are the listeners of one process.
type servers struct {
	log     *slog.Logger
	list    []*http.Server
	address string // of the main one, with the port that was taken
	failed  chan error
}

// listen opens all three listeners before any of them serves, so that a port in use is told at once.
func (s *servers) listen(cfg *Config, h *hub) error {
	main, err := listenOn("listen", cfg.String("listen"))
	if err != nil {
		return err
	}
	s.address = main.Addr().String()
	limit := web.Connections{Total: cfg.Int("limits.connections"), PerIP: cfg.Int("limits.connections_per_ip"), Trusted: h.proxies.Trusts}
	srv := s.server(h.public, int(cfg.Bytes("limits.header_bytes")))
	serve := func(l net.Listener) error { return srv.Serve(l) }
	if cert := cfg.String("tls_cert"); cert != "" {
		c, err := loadCertificate(cert, cfg.String("tls_key"), s.log)
		if err != nil {
			return errors.Join(err, main.Close())
		}
		srv.TLSConfig = c.config()
		serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	internal, err := listenOn("internal_listen", cfg.String("internal_listen"))
	if err != nil {
		return errors.Join(err, main.Close())
	}
	socket, err := listenSocket(filepath.Join(cfg.dataDir(), "hallmark.sock"))
	if err != nil {
		return errors.Join(err, main.Close(), internal.Close())
	}
	s.serve(func() error { return serve(limit.Limit(main)) })
	in := s.server(h.internal, 0)
	s.serve(func() error { return in.Serve(internal) })
	local := s.server(h.public, 0)
	// Whoever can open the socket can read the database: there is no password to ask for.
	local.BaseContext = func(net.Listener) context.Context {
		return core.WithPrincipal(context.Background(), core.Operator())
	}
	s.serve(func() error { return local.Serve(socket) })
	return nil
}

func (s *servers) server(h http.Handler, headerBytes int) *http.Server {
	srv := &http.Server{
		Handler: bounded(h), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
	s.list = append(s.list, srv)
	return srv
}

func (s *servers) serve(f func() error) {
	go func() {
		if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

// stop ends listening and waits for requests in flight, but not forever.
func (s *servers) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for _, srv := range s.list {
		if err := srv.Shutdown(ctx); err != nil {
			s.log.Warn("requests were cut off", "error", err)
			srv.Close()
		}
	}
}

func listenOn(key, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is in use by another program: end that, or set HALLMARK_%s to another address", address, strings.ToUpper(key))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w. HALLMARK_%s says where", address, err, strings.ToUpper(key))
	}
	return l, nil
}

// listenSocket opens the local socket. What lies there is left over: the lock on the data directory is ours.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// Made with the rights it has to have: a chmod afterwards would be too late.
	old := syscall.Umask(0o177)
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("the local socket cannot be opened: %w. A shorter HALLMARK_DATA may help: paths of sockets have 108 bytes at most", err)
	}
	return l, nil
}

// welcome says what a newcomer wants to know.
func (p *program) welcome(cfg *Config, h *hub, address string) {
	scheme := "http"
	if cfg.String("tls_cert") != "" {
		scheme = "https"
	}
	fmt.Fprintf(p.stdout, "Hallmark is ready at %s://%s\n", scheme, address)
	login := "docker login -u admin " + address
	if secret := filepath.Join(cfg.String("data"), "admin-secret"); isFile(secret) {
		fmt.Fprintf(p.stdout, "The user is admin, the password is in %s: change it, then remove the file.\n", secret)
		login = "docker login -u admin --password-stdin " + address + " < " + secret
	} else if h.first {
		fmt.Fprintln(p.stdout, "The user is admin, with the password of HALLMARK_ADMIN_PASSWORD.")
	}
	fmt.Fprintf(p.stdout, `Log in, push, pull:
  %[1]s
  docker tag debian %[2]s/library/debian && docker push %[2]s/library/debian
  docker pull %[2]s/library/debian
The API is described at %[3]s://%[2]s/api/docs, and "hallmark login %[3]s://%[2]s" makes this program its client.
Ctrl-C ends the hub.
`, login, address, scheme)
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

const (
	bodyTime  = 30 * time.Second // until a handler that reads a long body sets its own deadlines
	bodyGrace = time.Second      // for what a handler did not read
)

// bounded keeps net/http from waiting for a body without end: before it answers it reads up to 256 KiB of what the handler
// left, and what was refused is left as a whole.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
		next.ServeHTTP(w, r)
		_ = rc.SetReadDeadline(time.Now().Add(bodyGrace))
	})
}
