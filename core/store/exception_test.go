package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestExceptions(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx := context.Background()
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		before := len(h.actions(0))
		good := store.NewException{Vulnerability: "CVE-1", PURL: "pkg:npm/x", Repository: "team/app", Reason: "not reached", ExpiresAt: h.Now().Add(24 * time.Hour)}
		x, err := h.CreateException(h.admin, team, good)
		h.ok(err)
		if x.Vulnerability != "CVE-1" || x.PURL != "pkg:npm/x" || x.Repository != "team/app" || x.Reason != "not reached" || x.CreatedBy != "root" ||
			!x.ExpiresAt.Equal(good.ExpiresAt.Truncate(time.Microsecond)) || x.CreatedAt.IsZero() {
			t.Errorf("%+v", x)
		}
		if again, err := h.Exception(ctx, team, x.ID); err != nil || *again != *x {
			t.Errorf("%+v %v", again, err)
		}
		_, err = h.CreateException(h.admin, team, store.NewException{Vulnerability: "CVE-2", Reason: "y", ExpiresAt: good.ExpiresAt})
		h.ok(err)
		all, more, err := h.Exceptions(ctx, team, "", "", 1)
		if err != nil || !more || len(all) != 1 || all[0].ID != x.ID {
			t.Errorf("%+v %v %v", all, more, err)
		}
		if all, more, err := h.Exceptions(ctx, team, "", x.ID, 1); err != nil || more || len(all) != 1 || all[0].Vulnerability != "CVE-2" {
			t.Errorf("%+v %v %v", all, more, err)
		}
		if all, _, err := h.Exceptions(ctx, team, "CVE-2", "", 0); err != nil || len(all) != 1 {
			t.Errorf("%+v %v", all, err)
		}

		// With what holds in the project, and in no other one; without the reason.
		m, err := h.TrustMaterial(ctx, team)
		if h.ok(err); len(m.Exceptions) != 2 || len(m.Documents) != 0 {
			t.Errorf("%+v", m)
		}
		for _, one := range m.Exceptions {
			if one.ID == x.ID && (one.PURL != x.PURL || one.Repository != x.Repository || !one.ExpiresAt.Equal(x.ExpiresAt) || one.Reason != "") {
				t.Errorf("%+v", one)
			}
		}
		if m, err := h.TrustMaterial(ctx, other); err != nil || len(m.Exceptions) != 0 {
			t.Errorf("%+v %v", m, err)
		}
		_, err = h.Exception(ctx, other, x.ID)
		h.refused(err, core.CodeNotFound)
		h.refused(h.DeleteException(h.admin, other, x.ID), core.CodeNotFound)
		h.ok(h.DeleteException(h.admin, team, x.ID))
		h.refused(h.DeleteException(h.admin, team, x.ID), core.CodeNotFound)
		if got := strings.Join(h.actions(before), " "); got != "exception.create exception.create exception.delete" {
			t.Error(got)
		}
		h.ok(h.DeleteProject(h.admin, team, store.AnyRevision))
	})
}

func TestExceptionsThatCannotBe(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		for name, change := range map[string]func(*store.NewException){
			"no vulnerability":             func(n *store.NewException) { n.Vulnerability = "" },
			"two vulnerabilities":          func(n *store.NewException) { n.Vulnerability = "CVE-1 CVE-2" },
			"two lines":                    func(n *store.NewException) { n.PURL = "pkg:npm/x\nteam/app" },
			"no reason":                    func(n *store.NewException) { n.Reason = " " },
			"a repository of another":      func(n *store.NewException) { n.Repository = "other/app" },
			"for ever":                     func(n *store.NewException) { n.ExpiresAt = time.Time{} },
			"over already":                 func(n *store.NewException) { n.ExpiresAt = h.Now() },
			"longer than a year":           func(n *store.NewException) { n.ExpiresAt = h.Now().Add(367 * 24 * time.Hour) },
			"an id that is too long":       func(n *store.NewException) { n.Vulnerability = strings.Repeat("x", 129) },
			"a reason that is too long":    func(n *store.NewException) { n.Reason = strings.Repeat("x", 1025) },
			"a name without its project":   func(n *store.NewException) { n.Repository = "app" },
			"a project that is its prefix": func(n *store.NewException) { n.Repository = "team2/app" },
		} {
			n := store.NewException{Vulnerability: "CVE-1", Reason: "x", ExpiresAt: h.Now().Add(time.Hour)}
			change(&n)
			if _, err := h.CreateException(h.admin, team, n); core.CodeOf(err) != core.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := h.CreateException(h.admin, team, store.NewException{Vulnerability: strings.Repeat("x", 128), Reason: strings.Repeat("x", 1024), ExpiresAt: h.Now().Add(365 * 24 * time.Hour)})
		h.ok(err)
	})
}

// As many as there may be, and one more.
func TestManyExceptions(t *testing.T) {
	eachHub(t, func(h *hub) {
		team, ends := h.project(h.admin, "team", core.Private), h.Now().Add(time.Hour)
		for n := range 1000 {
			_, err := h.CreateException(h.admin, team, store.NewException{Vulnerability: fmt.Sprintf("CVE-%d", n), Reason: "x", ExpiresAt: ends})
			h.ok(err)
		}
		_, err := h.CreateException(h.admin, team, store.NewException{Vulnerability: "CVE-1000", Reason: "x", ExpiresAt: ends})
		h.refused(err, core.CodeLimit)
	})
}
