package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/service"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
	"github.com/hallmarkhub/hallmark/scanner-adapter/worker"
)

// adapter is what serve and the database commands share.
type adapter struct {
	worker    *worker.Worker
	store     *database.Store
	databases []*database.Refresher
	lock      *os.File
}

// open opens the data directory, for this process alone.
func open(c *config, log *slog.Logger) (*adapter, error) {
	if err := os.MkdirAll(c.dir(), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(c.dir("lock"))
	if err != nil {
		return nil, fmt.Errorf("%s is in use by another scanner-adapter: bring databases in through its API (PUT /api/v1/database/db), or end it first (%w)", c.dir(), err)
	}
	box, err := sandbox.NewBox(c.values["cgroup"])
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &adapter{lock: lock, worker: &worker.Worker{Box: box, Path: self, Args: []string{childCommand}, Dir: c.dir("scans"), Limits: c.childLimits()}}
	if err := a.worker.Sweep(); err != nil {
		return nil, err
	}
	a.store, err = database.Open(c.dir("database"), func(ctx context.Context, generation string) error {
		if _, err := a.worker.Run(ctx, job.Job{Kind: job.Check, Database: generation}); err != nil {
			return &database.Refused{Message: err.Error()}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for kind, address := range map[database.Kind]string{database.Vulnerabilities(): c.values["database"], database.Java(): c.values["java_database"]} {
		r := &database.Refresher{Store: a.store, Kind: kind, Interval: c.duration("database_interval"), Log: log,
			Source: database.Source{Address: address, Authorization: c.values["database_basic"], Hosts: c.hosts(), Plain: c.plain()}}
		if kind == database.Vulnerabilities() {
			a.databases = append([]*database.Refresher{r}, a.databases...) // the first one is the one that scans need
		} else {
			a.databases = append(a.databases, r)
		}
	}
	return a, nil
}

func (c *config) childLimits() sandbox.Limits {
	return sandbox.Limits{
		Time: c.duration("limits.time"), Processor: c.duration("limits.processor"), CPUs: c.count("limits.cpus"),
		Memory: c.bytes("limits.memory"), Disk: c.bytes("limits.disk"), Output: c.bytes("limits.report"), Tasks: 256,
	}
}

func (c *config) imageLimits() image.Limits {
	return image.Limits{
		Fetched: c.bytes("limits.fetched"), Unpacked: c.bytes("limits.unpacked"), Files: int64(c.count("limits.files")),
		Depth: c.count("limits.depth"), Layers: c.count("limits.layers"),
	}
}

func (c *config) sbomLimits() service.SBOMLimits {
	return service.SBOMLimits{Documents: c.count("limits.sboms"), Bytes: c.bytes("limits.sbom"), Components: c.count("limits.components"),
		Time: c.duration("limits.sbom_time")}
}

func (c *config) credential() service.Credential {
	user, password, _ := strings.Cut(c.values["basic"], ":")
	return service.Credential{Token: c.values["token"], User: user, Password: password}
}

// serve answers until ctx ends.
func serve(ctx context.Context, c *config, stderr io.Writer) error {
	if err := c.checkServe(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	a, err := open(c, log)
	if err != nil {
		return err
	}
	defer a.lock.Close()
	s := service.New(service.Options{
		Scanner:    spec.Scanner{Name: "Trivy", Vendor: "Aqua Security", Version: trivyVersion},
		Registries: c.registries(), Hosts: c.hosts(), Credential: c.credential(), Limits: c.imageLimits(), SBOMs: c.sbomLimits(),
		Scans: c.count("scans"), Queue: c.count("queue"), Keep: c.duration("keep"), KeepBytes: c.bytes("keep_bytes"),
		Extras: c.values["extras"] == "true", Worker: a.worker, Store: a.store, Databases: a.databases, Log: log,
	})
	listener, err := listen(ctx, c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() { s.Run(ctx) })
	for _, d := range a.databases {
		if d.Source.Address != "" {
			all.Go(func() { d.Run(ctx) })
		}
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	all.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	limited := a.worker.Box.Cgroup()
	if limited == "" {
		limited = "no cgroup: a watchdog limits memory"
	}
	log.Info("ready", "address", listener.Addr().String(), "trivy", trivyVersion, "memory", limited)
	err = server.Serve(listener)
	stop()
	all.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func listen(ctx context.Context, c *config) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.values["listen"])
	if err != nil {
		return nil, fmt.Errorf("SCANNER_LISTEN: %w", err)
	}
	if c.values["tls_cert"] == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(c.values["tls_cert"], c.values["tls_key"])
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("SCANNER_TLS_CERT and SCANNER_TLS_KEY: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), nil
}
