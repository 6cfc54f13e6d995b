package db_test

import (
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
)

func TestCheckAddress(t *testing.T) {
	for _, address := range []string{"sqlite:///a/hub.db", "sqlite:///a%3Fb/hub.db", "postgres://u:p%2Fw@host:5432/hub?sslmode=disable",
		"postgresql://host/hub"} {
		if err := db.CheckAddress(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, want := range map[string]string{
		"":                                      "neither sqlite: nor postgres:",
		"mysql://u:secret@host/hub":             "neither sqlite: nor postgres:",
		"sqlite:hub.db":                         "not of the form sqlite:///path/to/file",
		"sqlite://a/hub.db":                     "not of the form sqlite:///path/to/file",
		"postgres://u:se/cret@host/hub":         "not of the form postgres://user:password@host:port/database",
		"postgres://u:secret@host:none/hub":     "not of the form postgres://user:password@host:port/database",
		"postgres://u:secret@host/?sslmode=yes": "the database address postgres://u:xxxxx@host/ is not understood: failed to configure TLS (sslmode is invalid)",
	} {
		err := db.CheckAddress(address)
		if err == nil {
			t.Errorf("%s was taken", address)
			continue
		}
		if got := err.Error(); !strings.Contains(got, want) || strings.Contains(got, "cret") || strings.Contains(got, "\n") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:secret@host/hub?sslmode=require": "postgres://u:xxxxx@host/hub",
		"postgres://u@host/hub?password=secret#secret": "postgres://u@host/hub",
		"postgres:u:secret@host/hub":                   "postgres:..",
		"postgres://u:se/cret@host/hub":                "postgres:..",
		"s3://bucket/prefix?region=x":                  "s3://bucket/prefix",
	} {
		if got := db.Redact(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// TestOneLine is about a server that is not there: the driver tries it with TLS and without, and tells of both.
func TestOneLine(t *testing.T) {
	d, err := db.Open(t.Context(), "postgres://u:secret@127.0.0.1:1/hub", db.Options{})
	if err == nil {
		d.Close()
		t.Fatal("it was opened")
	}
	if got := err.Error(); strings.Contains(got, "\n") || strings.Count(got, "refused") != 1 || strings.Contains(got, "secret") {
		t.Errorf("got %q", got)
	}
}
