package store_test

import (
	"context"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

// hub is a store with an administrator and a few users, as tests of nouns need it.
type hub struct {
	*store.Store
	t     testing.TB
	db    *db.DB
	admin context.Context
}

func eachHub(t *testing.T, f func(h *hub)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(openHub(t, open)) })
}

func openHub(t testing.TB, open dbtest.Open) *hub {
	t.Helper()
	d := open(t)
	if err := migrations.Up(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	h := &hub{Store: store.New(d), t: t, db: d}
	h.admin = h.signIn(h.user("root", true))
	return h
}

func (h *hub) user(name string, admin bool) *store.Account {
	h.t.Helper()
	a, err := h.CreateAccount(core.WithPrincipal(context.Background(), core.System()), store.NewAccount{Username: name, PasswordHash: "hash", Admin: admin})
	h.ok(err)
	return a
}

// signIn is a context in which an account asks.
func (h *hub) signIn(a *store.Account) context.Context {
	return core.WithPrincipal(context.Background(), &core.Principal{Kind: core.KindUser, ID: a.ID, Name: a.Username, Admin: a.Admin})
}

func (h *hub) project(ctx context.Context, name string, v core.Visibility) *core.Project {
	h.t.Helper()
	p, err := h.CreateProject(ctx, store.NewProject{Name: name, Visibility: v})
	h.ok(err)
	return p
}

func (h *hub) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) refused(err error, code core.ErrorCode) {
	h.t.Helper()
	if core.CodeOf(err) != code {
		h.t.Fatalf("got error %v, want code %s", err, code)
	}
}

// actions is the audit trail, oldest first, without what setting up the test left.
func (h *hub) actions(skip int) []string {
	h.t.Helper()
	entries, _, err := h.AuditEntries(context.Background(), store.AuditQuery{N: 1000})
	h.ok(err)
	var out []string
	for i := len(entries) - 1; i >= 0; i-- {
		out = append(out, entries[i].Action)
	}
	return out[min(skip, len(out)):]
}

// push puts a manifest into a repository, as the registry does.
func (h *hub) push(p *core.Project, repository, digest string, at int64, tags ...string) {
	h.t.Helper()
	h.ok(h.db.Write(context.Background(), func(tx *db.Tx) error {
		name := p.Name + "/" + repository
		exec := func(query string, args ...any) {
			if _, err := tx.Exec(query, args...); err != nil {
				h.t.Fatal(err)
			}
		}
		exec(`INSERT INTO repository (id, project_id, name, pushed_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $4, $4) ON CONFLICT (name) DO NOTHING`,
			store.NewID(), p.ID, name, at)
		exec(`INSERT INTO manifest (digest, media_type, size, payload, artifact_type, platforms, layers_size, created_at)
			VALUES ($1, 'application/vnd.oci.image.manifest.v1+json', 10, $2, 'application/vnd.oci.image.config.v1+json', '[{"os":"linux","architecture":"arm64"}]', 90, $3)
			ON CONFLICT (digest) DO NOTHING`, digest, []byte("{}"), at)
		exec(`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by)
			SELECT id, $1, 0, $2, 'user:1' FROM repository WHERE name = $3`, digest, at, name)
		for _, t := range tags {
			exec(`INSERT INTO tag (repository_id, name, digest, created_at, updated_at, updated_by)
				SELECT id, $1, $2, $3, $3, 'user:1' FROM repository WHERE name = $4`, t, digest, at, name)
		}
		return nil
	}))
}
