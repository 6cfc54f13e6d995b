package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice/adapter"
)

// builtIn is the name that the scanner of HALLMARK_SCANNER has among the scanners of the hub.
const builtIn = "trivy"

// scanner is the scanner of this hub, as far as this process has to do with it.
type scanner struct {
	hub     *hub
	own     *adapter.Adapter // nil where this process runs none
	address string           // where our own one reaches us
	secret  string           // what it shows to be let to its databases

	mu  sync.Mutex
	url string // where our own one answers, since it was joined
}

// wireScanner makes ready what run starts.
func (h *hub) wireScanner(o *opened) error {
	h.scanner = &scanner{hub: h, address: o.scanner, secret: rand.Text()}
	if h.scanner.address == "" {
		return nil
	}
	binary, err := h.cfg.scannerBinary()
	if err != nil {
		return err
	}
	env, secrets := h.scanner.settings(os.Environ())
	h.scanner.own = adapter.New(adapter.Options{Binary: binary, Env: env, Secret: secrets, Log: h.log, Joined: h.scanner.joined})
	return nil
}

// settings is what our own scanner is told: what the hub decides, and for the rest what SCANNER_ variables say.
func (s *scanner) settings(environ []string) (env []string, secrets map[string]string) {
	registry := strings.TrimPrefix(s.address, "http://")
	ours := map[string]string{"SCANNER_DATA": filepath.Join(s.hub.cfg.dataDir(), "scanner"), "SCANNER_REGISTRIES": s.address,
		"SCANNER_LISTEN": "", "SCANNER_TOKEN": "", "SCANNER_BASIC": "", "SCANNER_TLS_CERT": "", "SCANNER_TLS_KEY": ""}
	if from := s.hub.cfg.String("scanner_database"); from != "" {
		ours["SCANNER_DATABASE"], ours["SCANNER_JAVA_DATABASE"] = from, s.hub.cfg.String("scanner_java_database")
	} else {
		ours["SCANNER_DATABASE"], ours["SCANNER_JAVA_DATABASE"] = "oci://"+registry+"/"+vulnerabilityDatabase+":2", "oci://"+registry+"/"+javaDatabase+":1"
		ours["SCANNER_DATABASE_INTERVAL"], ours["SCANNER_DATABASE_BASIC"] = "20s", ""
		secrets = map[string]string{"SCANNER_DATABASE_BASIC": scannerUser + ":" + s.secret}
	}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		_, decided := ours[strings.TrimSuffix(name, "_FILE")]
		if !decided && (strings.HasPrefix(name, "SCANNER_") || name == "SSL_CERT_FILE" || name == "SSL_CERT_DIR" || name == "TMPDIR") {
			env = append(env, e)
		}
	}
	for name, value := range ours {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env, secrets
}

// scannerUser is whom our own scanner says it is when it asks for its databases.
const scannerUser = "scanner"

// door serves our own scanner, on loopback: everything as to anybody, and its databases to who shows the secret that only our child
// was told. So there is no robot whose secret somebody has to keep.
func (s *scanner) door(public http.Handler) http.Handler {
	reader := &core.Principal{Kind: core.KindSystem, Name: scannerUser, Credential: scannerUser, Grants: []core.Grant{
		{Repository: vulnerabilityDatabase, Actions: []core.Action{core.ActionPull}},
		{Repository: javaDatabase, Actions: []core.Action{core.ActionPull}}}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v2/"+vulnerabilityDatabase+"/") && !strings.HasPrefix(r.URL.Path, "/v2/"+javaDatabase+"/") {
			public.ServeHTTP(w, r)
			return
		}
		user, secret, _ := r.BasicAuth()
		if user != scannerUser || subtle.ConstantTimeCompare([]byte(secret), []byte(s.secret)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="scanner"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		public.ServeHTTP(w, r.WithContext(core.WithPrincipal(r.Context(), reader)))
	})
}

// run joins the scanner and keeps it alive until ctx ends.
func (s *scanner) run(ctx context.Context) {
	if s.own != nil {
		s.own.Run(ctx)
		return
	}
	url := s.hub.cfg.scannerElsewhere()
	if url == "" || !s.hub.cfg.hasRole("jobservice") {
		return
	}
	token := s.hub.cfg.String("scanner_token")
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		err := s.register(ctx, store.ScannerPut{URL: url, Secret: &token, RegistryURL: s.hub.cfg.String("scanner_registry")})
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			s.hub.log.Warn("the scanner could not be joined yet", "url", url, "error", err, "again_in", wait)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// joined is told where our own scanner answers.
func (s *scanner) joined(ctx context.Context, c adapter.Connection) error {
	if err := s.register(ctx, store.ScannerPut{URL: c.URL, Secret: &c.Token, RegistryURL: s.address}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = c.URL
	return nil
}

// register makes the scanner one of those the hub asks: the default one, if there is no other. What an administrator decided about
// it stays.
func (s *scanner) register(ctx context.Context, n store.ScannerPut) error {
	ctx = core.WithPrincipal(ctx, core.System())
	all, _, err := s.hub.store.Scanners(ctx, "", 0)
	if err != nil {
		return err
	}
	n.Default = !slices.ContainsFunc(all, func(v *store.Scanner) bool { return v.Default })
	var revision int64
	for _, v := range all {
		if v.Name != builtIn {
			continue
		}
		secret, err := store.ScannerSecret(s.hub.keyring, v)
		if err == nil && v.URL == n.URL && v.RegistryURL == n.RegistryURL && secret == *n.Secret && v.CAPEM == "" && v.Username == "" {
			return nil
		}
		revision, n.Default, n.Paused = v.Revision, v.Default || n.Default, v.Paused
	}
	_, _, err = s.hub.store.PutScanner(ctx, s.hub.keyring, builtIn, n, revision)
	return err
}

// part is what is said of the scanner to whoever asks how the hub is.
func (s *scanner) part(ctx context.Context) part {
	p := part{name: "scanner", spare: true}
	if s.hub.cfg.scanner() == "off" {
		p.note = "off"
		return p
	}
	if s.own != nil {
		switch state := s.own.State(); state.Phase {
		case adapter.Missing:
			p.note = "not there yet: `make scanner` builds it, and it joins by itself"
		case adapter.Building:
			p.note = "building; it joins by itself"
		case adapter.Starting:
			p.note = "starting"
		case adapter.Failed:
			p.note, p.err = "problem: it ended and is started again; the log says why", errors.New(state.Problem)
		case adapter.Running:
		}
		if p.note != "" {
			return p
		}
	}
	v, err := s.hub.store.Scanner(ctx, builtIn)
	switch {
	case core.CodeOf(err) == core.CodeNotFound:
		p.note = "starting"
	case err != nil:
		p.note, p.err = "unknown: the database does not say", err
	default:
		p.note, p.err = s.told(v)
	}
	return p
}

// told is what its row says of the scanner. Anybody may read it: no addresses.
func (s *scanner) told(v *store.Scanner) (string, error) {
	s.mu.Lock()
	url := s.url
	s.mu.Unlock()
	switch {
	case url != "" && v.URL != url:
		return "problem: another process of this hub runs one as well; set HALLMARK_SCANNER to one address for all of them",
			errors.New("the scanner " + builtIn + " is at " + v.URL)
	case v.Paused:
		return "paused", nil
	case v.CheckedAt.IsZero():
		return "starting", nil
	case v.Health.Problem != "":
		return "problem: hallmark get scanners says which", errors.New(v.Health.Problem)
	case v.Health.DatabaseAt.IsZero():
		return "ready, but without a vulnerability database nothing is scanned: docs/scanner.md says how to bring one in", nil
	}
	return "ready (database of " + v.Health.DatabaseAt.UTC().Format("2006-01-02 15:04") + " UTC)", nil
}
