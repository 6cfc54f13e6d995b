package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice/adapter"
)

func TestScannerSettings(t *testing.T) {
	const postgres, key = "HALLMARK_DB=postgres://127.0.0.1/x", "HALLMARK_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, c := range []struct {
		environ  []string
		is       string // "": refused
		runs     bool
		sentence string
	}{
		{nil, "exec:", true, ""},
		{[]string{postgres, key}, "off", false, ""},
		{[]string{postgres, key, "HALLMARK_SCANNER=exec:"}, "exec:", true, ""},
		{[]string{postgres, key, "HALLMARK_QUEUE=redis://127.0.0.1", "HALLMARK_ROLES=core", "HALLMARK_SCANNER=exec:"}, "exec:", false, ""},
		{[]string{"HALLMARK_SCANNER=off"}, "off", false, ""},
		{[]string{"HALLMARK_SCANNER=exec:/opt/adapter"}, "exec:/opt/adapter", true, ""},
		{[]string{"HALLMARK_SCANNER=http://adapter:8090", "HALLMARK_SCANNER_TOKEN=x", "HALLMARK_SCANNER_REGISTRY=http://hub"}, "http://adapter:8090", false, ""},
		{[]string{"HALLMARK_SCANNER=exec:adapter"}, "", false, "none of exec:"},
		{[]string{"HALLMARK_SCANNER=on"}, "", false, "none of exec:"},
		{[]string{"HALLMARK_SCANNER_TOKEN=x"}, "", false, "scanner_token is for a scanner that runs elsewhere"},
		{[]string{"HALLMARK_SCANNER_REGISTRY=http://hub"}, "", false, "scanner_registry is for"},
		{[]string{"HALLMARK_SCANNER=http://adapter:8090", "HALLMARK_SCANNER_DATABASE=dir:///x"}, "", false, "SCANNER_DATABASE"},
		{[]string{"HALLMARK_SCANNER_JAVA_DATABASE=dir:///x"}, "", false, "goes with scanner_database"},
	} {
		cfg, err := loadConfig("", c.environ, nil)
		switch {
		case c.is == "" && (err == nil || !strings.Contains(err.Error(), c.sentence)):
			t.Errorf("%v: %v", c.environ, err)
		case c.is != "" && (err != nil || cfg.scanner() != c.is || cfg.runsScanner() != c.runs):
			t.Errorf("%v: %v", c.environ, err)
		}
	}
}

// What our own scanner is told: the hub decides how it is reached and what it reads, SCANNER_ variables the rest.
func TestScannerEnvironment(t *testing.T) {
	h := startHub(t)
	h.scanner.address = "http://127.0.0.1:4711"
	hostile := []string{"SCANNER_LIMITS_MEMORY=4GiB", "SCANNER_TOKEN=theirs", "SCANNER_TOKEN_FILE=/theirs", "SCANNER_DATA=/theirs", "SCANNER_LISTEN=0.0.0.0:1",
		"SCANNER_REGISTRIES=http://theirs", "SCANNER_DATABASE=oci://theirs/x:1", "AWS_SECRET_ACCESS_KEY=canary", "HALLMARK_MASTER_KEY=canary", "HOME=/root", "PATH=/bin"}
	env, secrets := h.scanner.settings(hostile)
	want := []string{"SCANNER_DATA=" + filepath.Join(h.cfg.dataDir(), "scanner"), "SCANNER_DATABASE=oci://127.0.0.1:4711/system/trivy-db:2", "SCANNER_DATABASE_INTERVAL=20s",
		"SCANNER_JAVA_DATABASE=oci://127.0.0.1:4711/system/trivy-java-db:1", "SCANNER_LIMITS_MEMORY=4GiB", "SCANNER_REGISTRIES=http://127.0.0.1:4711"}
	if slices.Sort(env); !slices.Equal(env, want) || len(secrets) != 1 || secrets["SCANNER_DATABASE_BASIC"] != "scanner:"+h.scanner.secret {
		t.Errorf("%q %q", env, slices.Collect(maps.Keys(secrets)))
	}
	h.cfg.values["scanner_database"] = value{"oci://elsewhere/trivy-db:2", "test"}
	env, secrets = h.scanner.settings([]string{"SCANNER_DATABASE_BASIC=me:secret"})
	if len(secrets) != 0 || !slices.Contains(env, "SCANNER_DATABASE=oci://elsewhere/trivy-db:2") || !slices.Contains(env, "SCANNER_DATABASE_BASIC=me:secret") {
		t.Errorf("a source elsewhere: %q %q", env, secrets)
	}
}

// V-53: the door of our own scanner opens nothing but two repositories, for reading, and for its secret alone.
func TestScannerDoor(t *testing.T) {
	h := startHub(t, "HALLMARK_BASELINE_FLOOR=off")
	do(t, h, "POST", "/api/v1/projects", "application/json", `{"name":"team","visibility":"private"}`)
	door := h.scanner.door(h.public)
	ask := func(method, path, user, secret string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr = "127.0.0.1:1"
		if user != "" {
			r.SetBasicAuth(user, secret)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w
	}
	mine := h.scanner.secret
	for _, c := range []struct {
		method, path, user, secret string
		want                       int
	}{
		{"GET", "/v2/system/trivy-db/manifests/2", "scanner", mine, http.StatusNotFound}, // it may ask, and there is none yet
		{"GET", "/v2/system/trivy-java-db/manifests/1", "scanner", mine, http.StatusNotFound},
		{"GET", "/v2/system/trivy-db/manifests/2", "", "", http.StatusUnauthorized},
		{"GET", "/v2/system/trivy-db/manifests/2", "scanner", mine + "x", http.StatusUnauthorized},
		{"GET", "/v2/system/trivy-db/manifests/2", "admin", mine, http.StatusUnauthorized},
		{"POST", "/v2/system/trivy-db/blobs/uploads/", "scanner", mine, http.StatusForbidden},
		{"PUT", "/v2/system/trivy-db/manifests/2", "scanner", mine, http.StatusForbidden},
		{"DELETE", "/v2/system/trivy-db/manifests/2", "scanner", mine, http.StatusForbidden},
		{"GET", "/v2/system/trivy-db/../other/manifests/2", "scanner", mine, http.StatusNotFound},
		{"GET", "/v2/system/other/manifests/2", "scanner", mine, http.StatusUnauthorized},
		{"GET", "/v2/team/app/manifests/1", "scanner", mine, http.StatusUnauthorized},
		{"GET", "/api/v1/projects/team", "scanner", mine, http.StatusUnauthorized},
		{"GET", "/service/token", "scanner", mine, http.StatusUnauthorized},
	} {
		if w := ask(c.method, c.path, c.user, c.secret); w.Code != c.want {
			t.Errorf("%s %s as %q: %d, want %d: %s", c.method, c.path, c.user, w.Code, c.want, w.Body)
		}
	}
	// At the hub's own address the secret is nobody's.
	r := httptest.NewRequest("GET", "/v2/system/trivy-db/manifests/2", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.SetBasicAuth("scanner", mine)
	w := httptest.NewRecorder()
	if h.public.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Error(w.Code, w.Body)
	}
	if w := do(t, h, "POST", "/api/v1/projects", "application/json", `{"name":"system"}`); w.Code == http.StatusCreated {
		t.Error("a user made the project of the hub")
	}
}

// A hub where everything has to be signed scans as well: whoever signs its databases is elsewhere.
func TestScannerReadsUnsignedDatabases(t *testing.T) {
	h := startHub(t, "HALLMARK_BASELINE_FLOOR=enforce")
	(&shell{t: t, hub: h}).image(vulnerabilityDatabase, "database", "2")
	r := httptest.NewRequest("GET", "/v2/"+vulnerabilityDatabase+"/manifests/2", nil)
	r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	r.SetBasicAuth(scannerUser, h.scanner.secret)
	w := httptest.NewRecorder()
	if h.scanner.door(h.public).ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Error(w.Code, w.Body)
	}
}

func TestScannerRegisters(t *testing.T) {
	h := startHub(t)
	ctx := core.WithPrincipal(t.Context(), core.System())
	row := func() *store.Scanner {
		t.Helper()
		v, err := h.store.Scanner(ctx, builtIn)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	h.scanner.address = "http://127.0.0.1:4711"
	if err := h.scanner.joined(ctx, adapter.Connection{URL: "http://127.0.0.1:1", Token: "one"}); err != nil {
		t.Fatal(err)
	}
	first := row()
	if !first.Default || first.URL != "http://127.0.0.1:1" || first.RegistryURL != "http://127.0.0.1:4711" {
		t.Errorf("%+v", first)
	}
	// The same again changes nothing; another address and token do, and what an administrator said stays.
	if err := h.scanner.joined(ctx, adapter.Connection{URL: "http://127.0.0.1:1", Token: "one"}); err != nil || row().Revision != first.Revision {
		t.Error(err, row().Revision)
	}
	if _, _, err := h.store.PutScanner(ctx, h.keyring, builtIn, store.ScannerPut{URL: first.URL, RegistryURL: first.RegistryURL, Default: true, Paused: true}, first.Revision); err != nil {
		t.Fatal(err)
	}
	if err := h.scanner.joined(ctx, adapter.Connection{URL: "http://127.0.0.1:2", Token: "two"}); err != nil {
		t.Fatal(err)
	}
	now := row()
	if secret, err := store.ScannerSecret(h.keyring, now); err != nil || secret != "two" || !now.Paused || !now.Default || now.URL != "http://127.0.0.1:2" {
		t.Errorf("%+v %v", now, err)
	}
	// Another scanner is the default one, and remains it.
	if _, _, err := h.store.PutScanner(ctx, h.keyring, "clair", store.ScannerPut{URL: "https://clair", Default: true}, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.scanner.joined(ctx, adapter.Connection{URL: "http://127.0.0.1:3", Token: "three"}); err != nil || row().Default {
		t.Error("it took the place of another one", err)
	}
	// Another process has joined one of its own: that is said.
	token := "x"
	if _, _, err := h.store.PutScanner(ctx, h.keyring, builtIn, store.ScannerPut{URL: "http://127.0.0.1:9", Secret: &token}, row().Revision); err != nil {
		t.Fatal(err)
	}
	if said, err := h.scanner.told(row()); !strings.Contains(said, "another process") || err == nil {
		t.Error(said, err)
	}
}

// What is said of the scanner never makes the hub unready.
func TestScannerInReadyz(t *testing.T) {
	h := startHub(t)
	ready := func() string {
		t.Helper()
		w := do(t, h, "GET", "/readyz?verbose", "", "")
		if w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	if said := ready(); !strings.Contains(said, "scanner: starting\n") {
		t.Error(said)
	}
	ctx := core.WithPrincipal(t.Context(), core.System())
	if err := h.scanner.joined(ctx, adapter.Connection{URL: "http://127.0.0.1:1", Token: "one"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		health store.ScannerHealth
		want   string
	}{
		{store.ScannerHealth{Problem: "secret-host does not answer"}, "scanner: problem: hallmark get scanners says which\n"},
		{store.ScannerHealth{}, "scanner: ready, but without a vulnerability database"},
		{store.ScannerHealth{DatabaseAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, "scanner: ready (database of 2026-01-02 03:04 UTC)\n"},
	} {
		v, err := h.store.Scanner(ctx, builtIn)
		if err == nil {
			err = h.store.SetScannerHealth(ctx, v, c.health)
		}
		if said := ready(); err != nil || !strings.Contains(said, c.want) || strings.Contains(said, "secret-host") {
			t.Error(err, said)
		}
	}
	if said := startHub(t, "HALLMARK_SCANNER=off").scanner.part(ctx); said.note != "off" || said.err != nil {
		t.Errorf("%+v", said)
	}
}
