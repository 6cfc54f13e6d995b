package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

func ring(h *hub) *seal.Keyring {
	k, err := seal.New(make([]byte, seal.KeySize))
	h.ok(err)
	return k
}

func text(s string) *string { return &s }

// A registry is made, changed under its revision and forgotten, and never while a project stands in front of it.
func TestRegistries(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx, k := context.Background(), ring(h)
		put := func(n store.RegistryPut, revision int64) (*store.Registry, error) {
			r, _, err := h.PutRegistry(h.admin, k, "old", n, revision)
			return r, err
		}
		_, err := h.Registry(ctx, "old")
		h.refused(err, core.CodeNotFound)
		r, err := put(store.RegistryPut{URL: "https://Registry.Example.org/", Username: "hub", Password: text("canary")}, 0)
		h.ok(err)
		if r.URL != "https://registry.example.org" || r.Revision != 1 {
			t.Errorf("%+v", r)
		}
		_, err = put(store.RegistryPut{URL: r.URL}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, err = put(store.RegistryPut{URL: r.URL}, 7)
		h.refused(err, core.CodeStale)
		password := func(want string) {
			t.Helper()
			r, err := h.Registry(ctx, "old")
			h.ok(err)
			if got, err := store.RegistryPassword(k, r); err != nil || got != want {
				t.Errorf("the password is %q, %v", got, err)
			}
		}
		password("canary")
		// What was left out stays, but goes to nobody it was not given for.
		_, err = put(store.RegistryPut{URL: r.URL, Username: "hub", CAPEM: ""}, 1)
		h.ok(err)
		password("canary")
		for _, n := range []store.RegistryPut{{URL: "https://other.example.org", Username: "hub"}, {URL: r.URL, Username: "other"},
			{URL: r.URL, Username: "hub", TokenHost: "auth.example.org"}, {URL: "https://registry.example.org:8443", Username: "hub"}} {
			_, err = put(n, 2)
			h.refused(err, core.CodeInvalid)
		}
		// Nor does who writes to the database have it sent elsewhere.
		h.ok(h.db.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE registry SET url = 'https://evil.example.org'`)
			return err
		}))
		moved, err := h.Registry(ctx, "old")
		h.ok(err)
		if got, err := store.RegistryPassword(k, moved); err == nil || got != "" {
			t.Error("a password opens for another address")
		}
		_, err = put(store.RegistryPut{URL: "https://other.example.org"}, 2) // without a user there is none
		h.ok(err)
		password("")

		_, err = h.CreateProject(h.admin, store.NewProject{Name: "none", Visibility: core.Private, Registry: "missing"})
		h.refused(err, core.CodeInvalid)
		p, err := h.CreateProject(h.admin, store.NewProject{Name: "front", Visibility: core.Private, Registry: "old"})
		h.ok(err)
		if read, err := h.ProjectByName(ctx, "front"); err != nil || read.Registry != "old" {
			t.Errorf("%+v %v", read, err)
		}
		err = h.DeleteRegistry(h.admin, "old", store.AnyRevision)
		h.refused(err, core.CodeConflict)
		if !strings.Contains(err.Error(), "project front") {
			t.Error(err)
		}
		h.ok(h.DeleteProject(h.admin, p, p.Revision))
		h.refused(h.DeleteRegistry(h.admin, "old", 1), core.CodeStale)
		h.ok(h.DeleteRegistry(h.admin, "old", 3))
		h.refused(h.DeleteRegistry(h.admin, "old", 3), core.CodeNotFound)
		if all, more, err := h.Registries(ctx, "", 10); err != nil || more || len(all) != 0 {
			t.Errorf("%v %v %v", all, more, err)
		}
		entries, _, err := h.AuditEntries(ctx, store.AuditQuery{N: 1000, Action: "registry.*"})
		h.ok(err)
		b, err := json.Marshal(entries)
		h.ok(err)
		if len(entries) != 4 || strings.Contains(string(b), "canary") {
			t.Errorf("%s", b)
		}
	})
}

func TestRegistriesThatAreNone(t *testing.T) {
	eachHub(t, func(h *hub) {
		k := ring(h)
		for _, n := range []store.RegistryPut{{}, {URL: "registry.example.org"}, {URL: "http://registry.example.org"}, {URL: "https://a@registry.example.org"},
			{URL: "https://registry.example.org/path"}, {URL: "https://registry.example.org?x"}, {URL: "ftp://registry.example.org"}, {URL: "https://:443"},
			{URL: "https://registry.example.org", PlainHTTP: true}, {URL: "https://r.test", TokenHost: "https://auth.test"}, {URL: "https://r.test", CAPEM: "no PEM"},
			{URL: "https://r.test", Password: text("x")}, {URL: "https://r.test", Username: "a:b"}, {URL: "https://r.test", Username: "a\nb"},
			{URL: "https://r.test/" + strings.Repeat("/", 256)}, {URL: "https://r.test", Username: "u", Password: text(strings.Repeat("x", 4<<10+1))}} {
			_, _, err := h.PutRegistry(h.admin, k, "old", n, 0)
			h.refused(err, core.CodeInvalid)
		}
		_, _, err := h.PutRegistry(h.admin, k, "Not a name", store.RegistryPut{URL: "https://r.test"}, 0)
		h.refused(err, core.CodeInvalid)
		_, _, err = h.PutRegistry(h.admin, k, "old", store.RegistryPut{URL: "https://r.test", Username: "u", Password: text(strings.Repeat("x", 4<<10))}, 0)
		h.ok(err)
		for i := 1; i < 200; i++ {
			_, _, err = h.PutRegistry(h.admin, k, fmt.Sprint("r", i), store.RegistryPut{URL: "https://r.test"}, 0)
			h.ok(err)
		}
		_, _, err = h.PutRegistry(h.admin, k, "more", store.RegistryPut{URL: "https://r.test"}, 0)
		h.refused(err, core.CodeLimit)
	})
}

// Notes of who refers to what are found, renewed, forgotten by age and with their project.
func TestReferences(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx := context.Background()
		p := h.project(h.admin, "front", core.Private)
		var many []store.Reference
		for i := range 250 { // more than one statement writes
			many = append(many, store.Reference{Kind: store.ReferenceBlob, Target: fmt.Sprint("blob", i)})
		}
		for _, m := range []string{"one", "two", "one"} { // last seen comes first
			h.ok(h.NoteReferences(ctx, p.ID, "front/app", m, many))
		}
		h.ok(h.NoteReferences(ctx, p.ID, "front/other", "three", many[:1]))
		h.ok(h.NoteReferences(ctx, p.ID, "front/app", "empty", nil))
		check := func(kind, target string, n int, want ...string) {
			t.Helper()
			got, err := h.ReferencedBy(ctx, "front/app", kind, target, n)
			h.ok(err)
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s %s: %q, want %q", kind, target, got, want)
			}
		}
		check(store.ReferenceBlob, "blob249", 10, "one", "two")
		check(store.ReferenceBlob, "blob0", 1, "one")
		check(store.ReferenceManifest, "blob0", 10)
		drop := func(before time.Time, n int) (gone int64) {
			t.Helper()
			h.ok(h.db.Write(ctx, func(tx *db.Tx) (err error) {
				gone, err = store.DropReferences(tx, before, n)
				return err
			}))
			return gone
		}
		if n := drop(h.Now().Add(-time.Hour), 1000); n != 0 {
			t.Errorf("%d young ones are gone", n)
		}
		if n := drop(h.Now().Add(time.Hour), 300); n != 300 {
			t.Errorf("%d of a batch are gone", n)
		}
		h.ok(h.NoteReferences(ctx, p.ID, "front/app", "one", many))
		h.ok(h.DeleteProject(h.admin, p, p.Revision))
		check(store.ReferenceBlob, "blob0", 10)
	})
}
