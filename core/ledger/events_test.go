package ledger

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// What is pushed, tagged and deleted is told where it happens, with what a tag named before; and without anybody to tell, nothing is written.
func TestEventsOfRepositories(t *testing.T) {
	eachHub(t, func(h *hub) {
		reg, err := local.New(h.db, memory.New(memory.Options{}), local.Options{Record: Record})
		if err != nil {
			t.Fatal(err)
		}
		push := func(content string, tags ...string) digest.Digest {
			t.Helper()
			const mediaType = "application/vnd.oci.image.index.v1+json"
			payload := []byte(`{"schemaVersion":2,"mediaType":"` + mediaType + `","manifests":[],"annotations":{"is":"` + content + `"}}`)
			d := digest.FromBytes(payload)
			if _, err := reg.PutManifest(h.alice, "team/app", registry.ManifestPut{Digest: d, MediaType: mediaType, Payload: payload, Tags: tags}); err != nil {
				t.Fatal(err)
			}
			return d
		}
		all := func() []store.Event {
			t.Helper()
			all, err := h.store.NewEvents(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		one := push("one", "kept", "v1")
		if got := all(); len(got) != 0 {
			t.Errorf("nobody is told %+v", got)
		}
		if err := h.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO webhook (id, scope, name, channel, host, recipients, events, repositories, created_at, updated_at)
				VALUES ('w', $1, 'w', 'http', '', '[]', '["*"]', '[]', 0, 0)`, h.team.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		push("one", "v1") // moves nothing
		two := push("two", "v1", "v2")
		if err := reg.DeleteTag(h.alice, "team/app", "v2"); err != nil {
			t.Fatal(err)
		}
		push("one", "v2") // made anew
		if err := reg.DeleteManifest(h.alice, "team/app", two); err != nil {
			t.Fatal(err)
		}
		at := func(d digest.Digest) string { return " team/app@" + string(d) + " of " + string(d) + " before " }
		want := []string{
			"artifact.pushed" + at(one),
			"artifact.pushed" + at(two), "tag.moved team/app:v1 of " + string(two) + " before " + string(one), "tag.created team/app:v2 of " + string(two) + " before ",
			"tag.deleted team/app:v2 of " + string(two) + " before ",
			"artifact.pushed" + at(one), "tag.created team/app:v2 of " + string(one) + " before ",
			"artifact.deleted" + at(two),
		}
		var got []string
		for _, e := range all() {
			var a event.Artifact
			if err := json.Unmarshal([]byte(e.Data), &a); err != nil || a.Repository != "team/app" || e.ProjectID != h.team.ID || e.Actor == "" {
				t.Errorf("%+v %v", e, err)
			}
			got = append(got, e.Type+" "+e.Subject+" of "+a.Digest+" before "+a.Previous)
		}
		if !slices.Equal(got, want) {
			t.Errorf("told\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
