package store_test

import (
	"slices"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

// Who has nothing but a digest learns of no repository in a project they do not name.
func TestHolding(t *testing.T) {
	eachHub(t, func(h *hub) {
		open, mine, other := h.project(h.admin, "open", core.Public), h.project(h.admin, "mine", core.Private), h.project(h.admin, "other", core.Private)
		for _, p := range []*core.Project{open, mine, other} {
			h.push(p, "app", "sha256:1", 1)
		}
		h.push(mine, "more", "sha256:1", 2)
		h.push(mine, "web", "sha256:2", 3)
		for _, c := range []struct {
			digest   string
			all      bool
			projects []string
			n        int
			want     []string
		}{
			{"sha256:1", false, nil, 10, []string{"open/app"}},
			{"sha256:1", false, []string{"mine"}, 10, []string{"mine/app", "mine/more", "open/app"}},
			{"sha256:1", false, []string{"mine", "open", "nowhere"}, 2, []string{"mine/app", "mine/more"}},
			{"sha256:1", true, nil, 10, []string{"mine/app", "mine/more", "open/app", "other/app"}},
			{"sha256:2", false, nil, 10, nil},
			{"sha256:3", true, nil, 10, nil},
			{"\x00", true, nil, 10, nil},
		} {
			if got, err := h.Holding(h.admin, c.digest, c.all, c.projects, c.n); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: %q %v", c, got, err)
			}
		}
	})
}
