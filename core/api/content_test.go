package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

func TestRepositoriesTagsArtifacts(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleOwner})
	d := h.image("team/deep/app", "x", "1.0", "latest")
	h.image("team/web", "y", "1.0")
	sig := h.signature("team/deep/app", d, "sig")

	const repo = "/projects/team/repositories/deep%2Fapp"
	var repos []Repository
	h.call(alice, "GET", "/projects/team/repositories", "").want(200).into(&repos)
	if len(repos) != 2 || repos[0].Name != "deep/app" || repos[0].FullName != "team/deep/app" || repos[0].Tags != 2 || repos[0].Artifacts != 2 {
		t.Errorf("%+v", repos)
	}
	r := h.call(alice, "GET", repo, "").want(200)
	var one Repository
	r.into(&one)
	if one.Size == nil || *one.Size == 0 {
		t.Errorf("%s", r.Body)
	}
	h.call(alice, "PATCH", repo, `{"summary": "s", "readme": "# hello\n"}`).wantProblem(428, core.CodeIfMatchRequired)
	h.call(alice, "PATCH", repo, `{"summary": "s", "readme": "# hello\n"}`, "If-Match", r.Header.Get("ETag")).want(200)
	h.call(alice, "PATCH", repo, `{"readme": "`+strings.Repeat("x", 65537)+`"}`, "If-Match", "*").wantProblem(400, core.CodeInvalid)

	var tags []Tag
	h.call(alice, "GET", repo+"/tags?q=lat", "").want(200).into(&tags)
	if len(tags) != 1 || tags[0].Name != "latest" || tags[0].Digest != string(d) {
		t.Errorf("%+v", tags)
	}
	h.call(alice, "PUT", repo+"/tags/stable", `{"digest": "`+string(d)+`"}`).want(200)
	h.call(alice, "PUT", repo+"/tags/stable", `{"digest": "sha256:`+strings.Repeat("0", 64)+`"}`).wantProblem(404, core.CodeNotFound)
	h.call(alice, "GET", repo+"/artifacts/1.0/tags", "").want(200).into(&tags)
	if len(tags) != 3 {
		t.Errorf("%+v", tags)
	}
	h.call(alice, "DELETE", repo+"/tags/stable", "").want(204)
	h.call(alice, "GET", repo+"/tags/stable", "").wantProblem(404, core.CodeNotFound)

	var list []Artifact
	h.call(alice, "GET", repo+"/artifacts?tagged=true", "").want(200).into(&list)
	if len(list) != 1 || fmt.Sprint(list[0].Tags) != "[1.0 latest]" {
		t.Errorf("%+v", list)
	}
	r = h.call(alice, "GET", repo+"/artifacts?limit=1", "").want(200).into(&list)
	if len(list) != 1 || list[0].Digest != string(sig) || r.next() == "" {
		t.Fatalf("%+v %q", list, r.next())
	}
	if r = h.call(alice, "GET", r.next(), "").want(200).into(&list); len(list) != 1 || list[0].Digest != string(d) || r.next() != "" {
		t.Errorf("%+v %q", list, r.next())
	}
	var image Artifact
	h.call(alice, "GET", repo+"/artifacts/latest", "").want(200).into(&image)
	if image.BuiltAt == nil || len(image.Platforms) != 1 || image.Platforms[0].Architecture != "arm64" || image.Size == 0 {
		t.Errorf("%+v", image)
	}
	var history History
	h.call(alice, "GET", repo+"/artifacts/1.0/history", "").want(200).into(&history)
	if len(history.Steps) != 2 || history.Steps[0].Digest == nil || history.Steps[1].Digest != nil || history.OS != "linux" {
		t.Errorf("%+v", history)
	}
	// The image says nothing of an entrypoint, and null would be no list.
	if history.Entrypoint != nil || history.Command == nil || strings.Contains(string(h.call(alice, "GET", repo+"/artifacts/1.0/history", "").Body), "null") {
		t.Errorf("entrypoint %v, command %v", history.Entrypoint, history.Command)
	}
	h.call(alice, "GET", repo+"/artifacts/"+string(sig)+"/history", "").wantProblem(404, core.CodeNotFound)
	var referrers []Referrer
	h.call(alice, "GET", repo+"/artifacts/1.0/referrers", "").want(200).into(&referrers)
	if len(referrers) != 1 || referrers[0].Digest != string(sig) || referrers[0].ArtifactType != "application/vnd.example.signature" {
		t.Errorf("%+v", referrers)
	}
	h.call(alice, "GET", repo+"/artifacts/1.0/referrers?artifact_type=other", "").want(200).into(&referrers)
	if len(referrers) != 0 {
		t.Errorf("%+v", referrers)
	}
	h.call(alice, "DELETE", repo+"/artifacts/1.0", "").wantProblem(400, core.CodeInvalid)
	h.call(alice, "DELETE", repo+"/artifacts/"+string(d), "").want(204)
	h.call(alice, "GET", repo+"/artifacts/latest", "").wantProblem(404, core.CodeNotFound)
	h.call(alice, "DELETE", repo, "", "If-Match", `"1"`).wantProblem(412, core.CodeStale)
	h.call(alice, "DELETE", repo, "").want(204)
	h.call(alice, "GET", repo, "").wantProblem(404, core.CodeNotFound)
	h.call(alice, "DELETE", repo, "").wantProblem(404, core.CodeNotFound)
}

func TestHistoryOfIndex(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleGuest})
	h.index("team/app", "multi", "arm64", "amd64")
	h.index("team/app", "single", "arm64")
	const artifacts = "/projects/team/repositories/app/artifacts/"
	h.call(alice, "GET", artifacts+"multi/history", "").wantProblem(400, core.CodeInvalid)
	h.call(alice, "GET", artifacts+"multi/history?platform=linux%2Famd64", "").want(200)
	h.call(alice, "GET", artifacts+"multi/history?platform=linux/s390x", "").wantProblem(404, core.CodeNotFound)
	h.call(alice, "GET", artifacts+"single/history", "").want(200)
	var v Artifact
	h.call(alice, "GET", artifacts+"multi", "").want(200).into(&v)
	if len(v.Platforms) != 2 || v.Platforms[0].Digest == nil {
		t.Errorf("%+v", v)
	}
}

// index pushes an index of images for these architectures of linux.
func (h *hub) index(repository, tag string, architectures ...string) digest.Digest {
	h.t.Helper()
	m := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	m.SchemaVersion = 2
	for _, arch := range architectures {
		m.Manifests = append(m.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: h.image(repository, tag+arch),
			Size: 1, Platform: &ocispec.Platform{OS: "linux", Architecture: arch}})
	}
	return h.manifest(repository, m.MediaType, m, tag)
}

func TestCopy(t *testing.T) {
	h := sqliteHub(t)
	alice, bob := h.user("alice", false), h.user("bob", false)
	h.project("dev", core.Private, map[string]core.Role{"alice": core.RoleGuest})
	h.project("prod", core.Private, map[string]core.Role{"alice": core.RoleDeveloper, "bob": core.RoleDeveloper})
	index := h.index("dev/app", "1.0", "arm64", "amd64")
	sig := h.signature("dev/app", index, "sig")
	att := h.signature("dev/app", sig, "attestation of the signature")
	legacy := strings.ReplaceAll(string(index), ":", "-") + ".sig"
	// What the hub states of it where it lies is not copied.
	verdict := h.signature("dev/app", index, "verdict")
	if err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO attached_verdict (repository_id, subject, carrier) SELECT id, $1, $2 FROM repository WHERE name = 'dev/app'`, string(index), string(verdict))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	h.image("dev/app", "cosign legacy", legacy)

	const target = "/projects/prod/repositories/web%2Fapp/artifacts"
	r := h.call(alice, "POST", target, `{"from": "dev/app:1.0", "tags": ["1.0", "latest"]}`).want(201)
	var v Artifact
	r.into(&v)
	if v.Digest != string(index) || fmt.Sprint(v.Tags) != "[1.0 latest]" {
		t.Errorf("%s", r.Body)
	}
	if want := "/api/v1" + target + "/" + url.PathEscape(string(index)); r.Header.Get("Location") != want {
		t.Errorf("Location %s, want %s", r.Header.Get("Location"), want)
	}
	h.call(alice, "GET", r.Header.Get("Location"), "").want(200)
	for _, reference := range []string{string(sig), string(att), legacy} {
		h.call(alice, "GET", target+"/"+reference, "").want(200)
	}
	h.call(alice, "GET", target+"/"+string(verdict), "").want(404)
	// What was copied is whole, and stays when its source goes.
	h.call(operator, "DELETE", "/projects/dev/repositories/app", "").want(204)
	h.call(alice, "GET", target+"/1.0/history?platform=linux/arm64", "").want(200)
	h.call(alice, "POST", target, `{"from": "prod/web/app@`+string(index)+`", "tags": ["stable"]}`).want(201) // to itself: tags alone
	h.call(alice, "POST", target, `{"from": "prod/web/app:stable"}`).want(201)

	// Who may not pull the source hears the same as if it were not there (V-18).
	h.image("dev/app", "secret", "1")
	private := h.call(bob, "POST", target, `{"from": "dev/app:1"}`).wantProblem(404, core.CodeNotFound)
	missing := h.call(bob, "POST", target, `{"from": "gone/app:1"}`).wantProblem(404, core.CodeNotFound)
	absent := h.call(alice, "POST", target, `{"from": "dev/app:9"}`).wantProblem(404, core.CodeNotFound)
	if strings.ReplaceAll(private.Detail, "dev", "gone") != missing.Detail || strings.ReplaceAll(absent.Detail, "dev/app:9", "gone/app:1") != missing.Detail {
		t.Errorf("%q\n%q\n%q", private.Detail, missing.Detail, absent.Detail)
	}
	h.call(alice, "POST", "/projects/dev/repositories/new/artifacts", `{"from": "prod/web/app:1.0"}`).wantProblem(403, core.CodeForbidden)
	for _, from := range []string{"app:1", "dev/app", "dev/app@sha256:12", "DEV/app:1", "dev//app:1", "dev/../app:1", "dev/app:1@sha256:" + strings.Repeat("0", 64)} {
		h.call(alice, "POST", target, `{"from": "`+from+`"}`).wantProblem(400, core.CodeInvalid)
	}
}

// Lists leave annotations out: there is no end to them.
func TestAnnotations(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleOwner})
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example",
		Config: h.blob("team/app", ocispec.MediaTypeEmptyJSON, []byte("{}")), Layers: []ocispec.Descriptor{}, Annotations: map[string]string{"a": "b"}}
	m.SchemaVersion = 2
	h.manifest("team/app", m.MediaType, m, "1")
	var list []Artifact
	h.call(alice, "GET", "/projects/team/repositories/app/artifacts", "").want(200).into(&list)
	var one Artifact
	h.call(alice, "GET", "/projects/team/repositories/app/artifacts/1", "").want(200).into(&one)
	if len(list) != 1 || list[0].Annotations != nil || one.Annotations == nil || (*one.Annotations)["a"] != "b" {
		t.Errorf("%+v\n%+v", list, one)
	}
}

// No tag of the target moves before everything else is there.
func TestCopyFailsWhole(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("dev", core.Private, map[string]core.Role{"alice": core.RoleGuest})
	h.project("prod", core.Private, map[string]core.Role{"alice": core.RoleDeveloper})
	h.image("prod/app", "old", "1")
	h.index("dev/app", "1", "arm64", "amd64")
	lost := h.image("dev/app", "1arm64")
	// A child that went makes the index sparse, which prod does not allow.
	if err := h.reg.DeleteManifest(h.ctx, "dev/app", lost); err != nil {
		t.Fatal(err)
	}
	h.call(alice, "POST", "/projects/prod/repositories/app/artifacts", `{"from": "dev/app:1", "tags": ["1"]}`).wantProblem(409, core.CodeConflict)
	var tag Tag
	h.call(alice, "GET", "/projects/prod/repositories/app/tags/1", "").want(200).into(&tag)
	if old := h.image("prod/app", "old"); tag.Digest != string(old) {
		t.Errorf("the tag moved to %s", tag.Digest)
	}
}
