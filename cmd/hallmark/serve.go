package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/web"
)

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
	log := p.logger(cfg)
	cert, err := loadCertificate(cfg, log)
	if err != nil {
		return err
	}
	lines := web.NewBuffer(p.stderr)
	o := &opened{cfg: cfg, log: log, access: slog.New(slog.NewJSONHandler(lines, nil))}
	o.closes = append(o.closes, lines.Close)
	defer o.close()
	if err := o.openData(); err != nil {
		return err
	}
	ports, err := o.listen()
	if err != nil {
		return err
	}
	if ports.public != nil {
		o.address = ports.public.Addr().String()
	}
	if ports.scanner != nil {
		o.scanner = "http://" + ports.scanner.Addr().String()
	}
	if err := o.openStores(ctx); err != nil {
		return err
	}
	h, err := wire(ctx, o)
	if err != nil {
		return err
	}
	s := &servers{log: log, failed: make(chan error, 4)}
	s.start(cfg, h, ports, cert)
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	jobs, stopJobs := context.WithCancel(background)
	var ended, worked sync.WaitGroup
	ended.Go(func() { h.background(background) })
	worked.Go(func() { h.work(jobs) })
	if o.address != "" {
		p.welcome(cfg, h, o.address)
	} else {
		fmt.Fprintf(p.stdout, "Hallmark works off jobs; http://%s/readyz says whether it is well.\n", ports.internal.Addr())
	}
	select {
	case <-ctx.Done():
		log.Info("ending: requests in flight have 30 s, running jobs less")
	case err = <-s.failed:
	}
	h.ready.Store(false)
	stopJobs() // none is begun while requests end
	s.stop()
	worked.Wait()
	stopBackground()
	ended.Wait()
	return err
}

// listeners are where a hub can be reached. public is nil where clients are not served.
// scanner is nil where the hub runs none.
type listeners struct{ public, internal, socket, scanner net.Listener }

// listen opens all listeners. That comes before the database, so that a port in use leaves that as it was; who connects
// meanwhile is served when the hub is ready. Clients reach only processes with the role core.
func (o *opened) listen() (*listeners, error) {
	var l listeners
	var err error
	if o.cfg.hasRole("core") {
		if l.public, err = o.keep(listenOn("listen", o.cfg.String("listen"))); err != nil {
			return nil, err
		}
	}
	if l.internal, err = o.keep(listenOn("internal_listen", o.cfg.String("internal_listen"))); err != nil {
		return nil, err
	}
	if l.socket, err = o.keep(listenSocket(filepath.Join(o.cfg.dataDir(), "hallmark.sock"))); err != nil {
		return nil, err
	}
	if o.cfg.runsScanner() {
		if l.scanner, err = o.keep(listenOn("listen", "127.0.0.1:0")); err != nil {
			return nil, err
		}
	}
	return &l, nil
}

// keep closes a listener in the end, unless its server has done so.
func (o *opened) keep(l net.Listener, err error) (net.Listener, error) {
	if err != nil {
		return nil, err
	}
	o.closes = append(o.closes, func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// servers serve the listeners of one process.
type servers struct {
	log    *slog.Logger
	list   []*http.Server
	failed chan error
}

// start serves what is open; cert is nil without TLS.
func (s *servers) start(cfg *Config, h *hub, l *listeners, cert *certificate) {
	limit := web.Connections{Total: cfg.Int("limits.connections"), PerIP: cfg.Int("limits.connections_per_ip"), Trusted: h.proxies.Trusts}
	if l.public != nil {
		public := s.server(h.public, int(cfg.Bytes("limits.header_bytes")))
		serve := public.Serve
		if cert != nil {
			public.TLSConfig = cert.config()
			serve = func(l net.Listener) error { return public.ServeTLS(l, "", "") }
		}
		s.serve(func() error { return serve(limit.Limit(l.public)) })
	}
	internal := s.server(h.internal, 0)
	s.serve(func() error { return internal.Serve(l.internal) })
	if l.scanner != nil {
		scanner := s.server(h.scanner.door(h.public), int(cfg.Bytes("limits.header_bytes")))
		s.serve(func() error { return scanner.Serve(l.scanner) })
	}
	local := s.server(h.public, 0)
	// Whoever can open the socket can read the database: there is no password to ask for.
	local.BaseContext = func(net.Listener) context.Context {
		return core.WithPrincipal(context.Background(), core.Operator())
	}
	s.serve(func() error { return local.Serve(l.socket) })
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
	hallmark := calledAs()
	login, docker := hallmark+" login "+scheme+"://"+address+" -u admin", "docker login "+address+" -u admin"
	if secret := filepath.Join(cfg.String("data"), "admin-secret"); isFile(secret) {
		fmt.Fprintf(p.stdout, "The user is admin, the password is in %s: change it, then remove the file.\n", secret)
		login, docker = login+" --password-stdin < "+secret, docker+" --password-stdin < "+secret
	} else if h.first {
		fmt.Fprintln(p.stdout, "The user is admin, with the password of HALLMARK_ADMIN_PASSWORD.")
	}
	// Who pushes may see what is not signed, so that the pull which is refused is somebody else's.
	scan := "# Nothing is scanned: HALLMARK_SCANNER is off."
	if cfg.scanner() != "off" {
		scan = hallmark + " get vulnerabilities " + address + "/library/debian   # docs/scanner.md: where their database comes from"
	}
	fmt.Fprintf(p.stdout, `Push an image; nobody else can pull it until it is signed:
  %[1]s
  docker tag debian %[3]s/library/debian && docker push %[3]s/library/debian
  docker logout %[3]s && docker pull %[3]s/library/debian
  %[2]s
  %[5]s keys generate --register me --project library
  %[5]s sign --key cosign.key %[3]s/library/debian
  docker pull %[3]s/library/debian
  %[6]s
The API is described at %[4]s://%[3]s/api/docs. Ctrl-C ends the hub.
`, docker, login, address, scheme, hallmark, scan)
}

// calledAs is what to type for this program, whether or not it lies in the path.
func calledAs() string {
	if name, err := exec.LookPath("hallmark"); err == nil {
		a, errA := os.Stat(name)
		b, errB := os.Stat(os.Args[0])
		if errA == nil && errB == nil && !os.SameFile(a, b) {
			return os.Args[0]
		}
		return "hallmark"
	}
	return os.Args[0]
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
