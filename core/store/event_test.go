package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// told are the events that were written, as type and subject, oldest first.
func (h *hub) told() []string {
	h.t.Helper()
	all, err := h.NewEvents(h.admin, 1000)
	h.ok(err)
	var out []string
	for _, e := range all {
		out = append(out, e.Type+" "+e.Subject)
	}
	return out
}

// What this room does itself is told where it happens, and not where nothing happened.
func TestEventsOfNouns(t *testing.T) {
	eachHub(t, func(h *hub) {
		h.project(h.admin, "before", core.Private)
		h.subscribe("")
		p := h.project(h.admin, "team", core.Private)
		_, _, err := h.PutTrustDocument(h.admin, nil, store.TrustAuthority, "root", "one", 0)
		h.ok(err)
		for _, document := range []string{"one", "one", "two"} { // the second changes nothing
			_, _, err := h.PutTrustDocument(h.admin, p, store.TrustAuthority, "ci", document, store.AnyRevision)
			h.ok(err)
		}
		_, _, err = h.PutTrustDocument(h.admin, p, store.TrustPolicy, "p", "one", 0)
		h.ok(err)
		_, err = h.RevokeAuthority(h.admin, p, "ci", "revoked", store.AnyRevision)
		h.ok(err)
		h.ok(h.DeleteTrustDocument(h.admin, p, store.TrustPolicy, "p", store.AnyRevision))
		h.carry(p, "sha256:stranger", "sha256:image", "", 1)
		h.carry(p, "sha256:known", "sha256:image", "key", 2)
		empty := h.project(h.admin, "empty", core.Private)
		h.ok(h.DeleteProject(h.admin, empty, store.AnyRevision))
		want := []string{
			"project.created team", "policy.changed root", "policy.changed team/ci", "policy.changed team/ci", "policy.changed team/p", "key.revoked team/ci",
			"policy.changed team/p", "artifact.signed team/app@sha256:image", "project.created empty", "project.deleted empty",
		}
		if got := h.told(); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// subscribe has somebody told of everything.
func (h *hub) subscribe(scope string) {
	h.t.Helper()
	h.exec(`INSERT INTO webhook (id, scope, name, channel, host, recipients, events, repositories, created_at, updated_at)
		VALUES ($1, $2, 'w', 'http', '', '[]', '["*"]', '[]', 0, 0)`, store.NewID(), scope)
}
