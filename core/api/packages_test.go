package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const textModule = "pkg:golang/golang.org/x/text"

// spdx is a document that lists package URLs.
func spdx(name string, purls ...string) json.RawMessage {
	var packages []string
	for _, p := range purls {
		packages = append(packages, fmt.Sprintf(`{"name":"p","licenseDeclared":"MIT","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":%q}]}`, p))
	}
	return json.RawMessage(fmt.Sprintf(`{"spdxVersion":"SPDX-2.3","name":%q,"packages":[%s]}`, name, strings.Join(packages, ",")))
}

// attach pushes something about a manifest, and has it read.
func (h *hub) attach(repository string, subject digest.Digest, mediaType string, content []byte) digest.Digest {
	h.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: mediaType,
		Config:  h.blob(repository, ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Layers:  []ocispec.Descriptor{h.blob(repository, mediaType, content)},
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}}
	m.SchemaVersion = 2
	d := h.manifest(repository, m.MediaType, m)
	h.readSBOMs()
	return d
}

func (h *hub) readSBOMs() {
	h.t.Helper()
	for _, read := range []func() (int, error){func() (int, error) { return h.keeper.Owed(h.ctx) }, func() (int, error) { return h.inventory.Owed(h.ctx) }} {
		if _, err := read(); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hub) attest(repository string, subject digest.Digest, by *signertest.Signer, predicateType string, document json.RawMessage) digest.Digest {
	h.t.Helper()
	return h.attach(repository, subject, signertest.TypeBundle, by.Bundle(subject, predicateType, document))
}

// trusted registers a key in a project.
func (h *hub) trusted(p *core.Project, by *signertest.Signer) {
	h.t.Helper()
	a := gatekeeper.Authority{PublicKey: by.PEM}
	if _, _, err := h.keeper.SaveAuthority(h.ctx, p, "ci", a, 0); err != nil {
		h.t.Fatal(err)
	}
}

// found is what a search answers, page by page: image and version of each, and who signed.
func (h *hub) found(who cred, query string) []string {
	h.t.Helper()
	out := []string{}
	for path := "/packages?" + query; path != ""; {
		r := h.call(who, "GET", path, "").want(200)
		var page []PackageHit
		r.into(&page)
		if len(page) == 0 && len(out) > 0 {
			h.t.Errorf("%s: an empty page after a full one", path)
		}
		for _, x := range page {
			line := x.FullName + ":" + strings.Join(x.Tags, ",") + " " + x.Version + " " + string(x.Source)
			if x.Trusted {
				line += " by " + *x.Signer
			}
			out = append(out, line)
		}
		path = r.next()
	}
	return out
}

func TestFindPackage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		key, stranger := signertest.New(), signertest.New()
		owner, guest, nobody := h.user("olga", false), h.user("gus", false), h.user("nick", false)
		admin := h.user("ada", true)
		members := map[string]core.Role{"olga": core.RoleOwner, "gus": core.RoleGuest}
		team, public := h.project("team", core.Private, members), h.project("open", core.Public, nil)
		h.trusted(team, key)
		h.trusted(public, key)
		document := spdx("app", textModule+"@v0.14.0", "pkg:npm/left-pad@1.0.0")
		for _, repository := range []string{"open/app", "team/app", "team/other"} {
			h.attest(repository, h.image(repository, repository, "1.0"), key, "https://spdx.dev/Document/v2.3", document)
		}
		h.attest("team/app", h.image("team/app", "two", "2.0"), key, "https://cyclonedx.org/bom",
			json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","purl":"`+textModule+`@v0.15.0"}]}`))
		h.attest("open/app", h.image("open/app", "strange", "strange"), stranger, "https://spdx.dev/Document", spdx("strange", textModule+"@v9.0.0"))
		bare := h.image("open/app", "bare", "bare")
		h.attach("open/app", bare, "application/spdx+json", spdx("bare", textModule+"@v8.0.0"))

		robot, secret, err := h.store.CreateRobot(h.ctx, team, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "app", Actions: []core.Action{core.ActionPull}}}})
		if err != nil {
			t.Fatal(err)
		}
		bound := bearer(h.token(h.accountID("olga"), "bound", []core.Grant{{Repository: "team/other", Actions: []core.Action{core.ActionPull}}}))
		one := "open/app:1.0 v0.14.0 attestation by key ci"
		app, other, two := "team/app:1.0 v0.14.0 attestation by key ci", "team/other:1.0 v0.14.0 attestation by key ci", "team/app:2.0 v0.15.0 attestation by key ci"
		all := []string{app, one, other, two}
		purl := "purl=" + textModule
		for _, c := range []struct {
			name  string
			who   cred
			query string
			want  []string
		}{
			{"anonymous", anonymous, purl, []string{one}},
			{"a stranger", nobody, purl, []string{one}},
			{"a stranger, one by one", nobody, purl + "&limit=1", []string{one}},
			{"a stranger in the private project", nobody, purl + "&project=team", []string{}},
			{"a guest", guest, purl, all},
			{"a guest, one by one", guest, purl + "&limit=1", all},
			{"the owner, two at once", owner, purl + "&limit=2", all},
			{"an administrator", admin, purl, all},
			{"a robot", basic(robot.Username(), secret), purl + "&limit=1", []string{app, one, two}},
			{"a bound token", bound, purl + "&limit=1", []string{other}},
			{"a version", guest, purl + "@v0.15.0", []string{two}},
			{"a version apart", guest, purl + "&version=v0.14.0&project=team", []string{app, other}},
			{"qualifiers do not matter", guest, "purl=pkg:npm/left-pad%3Farch=x", []string{strings.Replace(app, "v0.14.0", "1.0.0", 1), strings.Replace(one, "v0.14.0", "1.0.0", 1), strings.Replace(other, "v0.14.0", "1.0.0", 1)}},
			{"what nobody has", guest, "purl=pkg:npm/nothing", []string{}},
			{"what nobody trusted has signed", nobody, purl + "&include=unsigned&limit=2", []string{one, "open/app:bare v8.0.0 unsigned", "open/app:strange v9.0.0 unsigned"}},
		} {
			got := h.found(c.who, c.query)
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		for _, query := range []string{"", "purl=left-pad", "purl=pkg:npm/", purl + "@v1&version=v2", purl + "&include=all", purl + "&cursor=x"} {
			h.call(guest, "GET", "/packages?"+query, "").wantProblem(400, core.CodeInvalid)
		}
		h.pulled(owner, guest, purl)

		// Whoever is revoked vouches for nothing any more, at once, and what he signed is still there to be seen.
		if _, err := h.keeper.RevokeAuthority(h.ctx, public, "ci"); err != nil {
			t.Fatal(err)
		}
		if got := h.found(nobody, purl); len(got) != 0 {
			t.Errorf("after the key was revoked %q is found", got)
		}
		if got := h.found(nobody, purl+"&include=unsigned"); len(got) != 3 || !slices.Contains(got, "open/app:1.0 v0.14.0 attestation") {
			t.Errorf("%q", got)
		}
		if got := h.found(guest, purl); len(got) != 3 {
			t.Errorf("revoked in one project, %q is found in another", got)
		}
	})
}

// Who pulled it is for owners to know.
func (h *hub) pulled(owner, guest cred, purl string) {
	h.t.Helper()
	a, err := h.store.Artifact(h.ctx, &core.Project{ID: h.projectID("team"), Name: "team"}, "app", "1.0")
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.store.AddPulls(h.ctx, []store.Pull{{Repository: "team/app", Digest: a.Digest, Principal: "user:" + h.accountID("gus"), Pulls: 3, LastAt: time.Now()}}); err != nil {
		h.t.Fatal(err)
	}
	for _, c := range []struct {
		who   cred
		query string
		want  int // pullers, or -1 for not being told
	}{{owner, "&pulls=true", 1}, {owner, "", -1}, {guest, "&pulls=true", -1}, {anonymous, "&pulls=true", -1}} {
		var page []PackageHit
		h.call(c.who, "GET", "/packages?"+purl+c.query, "").want(200).into(&page)
		for _, x := range page {
			got, want := -1, c.want
			if x.PulledBy != nil {
				got = len(*x.PulledBy)
			}
			if x.Project != "team" {
				want = -1
			} else if x.Digest != a.Digest && want > 0 {
				want = 0
			}
			if got != want {
				h.t.Errorf("%q: %s is told with %d who pulled, want %d", c.query, x.FullName, got, want)
			}
			if got == 1 && ((*x.PulledBy)[0].Principal != "gus" || (*x.PulledBy)[0].Pulls != 3) {
				h.t.Errorf("%+v", *x.PulledBy)
			}
		}
	}
}

func (h *hub) projectID(name string) string {
	h.t.Helper()
	p, err := h.store.ProjectByName(h.ctx, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p.ID
}

func TestSBOMs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		guest := h.user("gus", false)
		team := h.project("team", core.Private, map[string]core.Role{"gus": core.RoleGuest})
		key := signertest.New()
		image := h.image("team/app", "x", "1.0")
		const path = "/projects/team/repositories/app/artifacts/"
		list := func(reference, query string) []SBOM {
			t.Helper()
			var all []SBOM
			h.call(guest, "GET", path+reference+"/sbom"+query, "").want(200).into(&all)
			return all
		}
		if len(list("1.0", "")) != 0 {
			t.Error("there is a document")
		}
		h.call(guest, "GET", path+"1.0/packages", "").wantProblem(404, core.CodeNotFound)
		h.call(guest, "GET", path+"1.0/sbom?format=spdx", "").wantProblem(404, core.CodeNotFound)

		bare := spdx("bare", "pkg:npm/b@2", "pkg:npm/a@1")
		h.attach("team/app", image, "application/spdx+json", bare)
		signed := spdx("signed", textModule+"@v0.14.0", "pkg:npm/a@1")
		carrier := h.attest("team/app", image, key, "https://spdx.dev/Document", signed)
		h.attest("team/app", image, key, "https://cyclonedx.org/bom", json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"9"}`))
		// The key is not registered yet: what it signed is signed by nobody known.
		for _, x := range list("1.0", "") {
			if x.Trusted || x.Source != "unsigned" || x.Signer != nil {
				t.Errorf("%+v", x)
			}
		}
		h.trusted(team, key)
		list("1.0", "") // has it verified anew
		h.readSBOMs()
		all := list(string(image), "")
		if len(all) != 3 || !all[0].Trusted || all[0].Source != "attestation" || *all[0].Signer != "key ci" || all[0].Packages != 2 || all[0].Version != "2.3" {
			t.Fatalf("%+v", all)
		}
		if all[1].Source != "unsigned" || all[1].Trusted || all[2].Problem == nil || !strings.Contains(*all[2].Problem, "CycloneDX") {
			t.Errorf("%+v", all[1:])
		}
		r := h.call(guest, "GET", path+"1.0/sbom?format=spdx", "").want(200)
		if string(r.Body) != string(signed) || r.Header.Get("Hallmark-Trusted") != "true" || r.Header.Get("Hallmark-Source") != "attestation" ||
			r.Header.Get("Content-Type") != "application/spdx+json" || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%v %s", r.Header, r.Body)
		}
		r = h.call(guest, "GET", path+"1.0/sbom?format=spdx&document="+all[1].Document, "").want(200)
		if string(r.Body) != string(bare) || r.Header.Get("Hallmark-Trusted") != "false" || r.Header.Get("Hallmark-Source") != "unsigned" {
			t.Errorf("%v %s", r.Header, r.Body)
		}
		h.call(guest, "GET", path+"1.0/sbom?format=cyclonedx", "").wantProblem(404, core.CodeNotFound)

		var page []Package
		r = h.call(guest, "GET", path+"1.0/packages?limit=1", "").want(200).into(&page)
		if len(page) != 1 || page[0].Purl != textModule+"@v0.14.0" || page[0].Licences != "MIT" || !page[0].Trusted || r.next() == "" {
			t.Errorf("%+v", page)
		}
		if r = h.call(guest, "GET", r.next(), "").want(200).into(&page); page[0].Purl != "pkg:npm/a@1" || r.next() != "" {
			t.Errorf("%+v", page)
		}

		// What goes with the attestation that brought it.
		if err := h.reg.DeleteManifest(h.ctx, "team/app", carrier); err != nil {
			t.Fatal(err)
		}
		if all = list("1.0", ""); len(all) != 2 || all[0].Source != "unsigned" {
			t.Errorf("%+v", all)
		}
		if got := h.found(guest, "purl="+textModule); len(got) != 0 {
			t.Errorf("%q is found in what is deleted", got)
		}
		// One that cosign 2 attached, by its tag.
		two := h.image("team/app", "y", "2.0")
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: h.blob("team/app", ocispec.MediaTypeImageConfig, []byte("{}")),
			Layers: []ocispec.Descriptor{h.blob("team/app", "text/spdx+json", spdx("tagged", "pkg:npm/c@3"))}}
		m.SchemaVersion = 2
		h.manifest("team/app", m.MediaType, m, "sha256-"+two.Encoded()+".sbom")
		h.readSBOMs()
		if all = list("2.0", ""); len(all) != 1 || all[0].Source != "unsigned" || all[0].Packages != 1 {
			t.Errorf("%+v", all)
		}
	})
}

func TestPackagesOfIndexes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		team := h.project("team", core.Public, nil)
		key := signertest.New()
		h.trusted(team, key)
		index := func(tag, arm, intel string) {
			t.Helper()
			list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
			list.SchemaVersion = 2
			for architecture, version := range map[string]string{"arm64": arm, "amd64": intel} {
				d := h.image("team/app", tag+architecture)
				h.attest("team/app", d, key, "https://spdx.dev/Document", spdx(tag+architecture, textModule+"@"+version, "pkg:npm/same@1", "pkg:npm/"+tag+"@1"))
				list.Manifests = append(list.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1,
					Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
			}
			slices.SortFunc(list.Manifests, func(a, b ocispec.Descriptor) int {
				return strings.Compare(a.Platform.Architecture, b.Platform.Architecture)
			})
			h.manifest("team/app", list.MediaType, list, tag)
		}
		index("one", "v1", "v1")
		index("two", "v2", "v1")
		const path = "/projects/team/repositories/app/artifacts/"
		list := func(query string) string {
			t.Helper()
			var page []Package
			h.call(anonymous, "GET", path+"two/packages"+query, "").want(200).into(&page)
			var out []string
			for _, p := range page {
				out = append(out, p.Name+"@"+p.Version+" "+strings.Join(p.Platforms, "+"))
			}
			return strings.Join(out, ", ")
		}
		if got, want := list(""), "text@v1 linux/amd64, same@1 linux/amd64+linux/arm64, two@1 linux/amd64+linux/arm64, text@v2 linux/arm64"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := list("?platform=linux/arm64"), "text@v2 linux/arm64, same@1 linux/arm64, two@1 linux/arm64"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		h.call(anonymous, "GET", path+"two/packages?platform=linux/s390x", "").wantProblem(404, core.CodeNotFound)
		diff := func(to, from, query string) string {
			t.Helper()
			var d PackageDiff
			h.call(anonymous, "GET", path+to+"/packages/diff?against="+from+query, "").want(200).into(&d)
			out := []string{fmt.Sprint(d.Complete, d.Trusted)}
			for _, x := range d.Changes {
				out = append(out, fmt.Sprintf("%s %s %v %v", x.Change, x.Purl, x.From, x.To))
			}
			return strings.Join(out, ", ")
		}
		if got, want := diff("two", "one", "&platform=linux/arm64"), "true true, changed "+textModule+" [v1] [v2], removed pkg:npm/one [1] [], added pkg:npm/two [] [1]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := diff("one", "two", ""), "true true, removed "+textModule+" [v2] [], added pkg:npm/one [] [1], removed pkg:npm/two [1] []"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := diff("two", "two", ""); got != "true true" {
			t.Error(got)
		}
		h.call(anonymous, "GET", path+"two/packages/diff?against=none", "").wantProblem(404, core.CodeNotFound)
		if got := h.found(anonymous, "purl="+textModule+"@v2"); !slices.Equal(got, []string{"team/app:two v2 attestation by key ci"}) {
			t.Errorf("the tag of the index is not told: %q", got)
		}
	})
}

// Whoever names a blob of somebody else in a manifest, where manifests are taken without what they list, learns nothing of it.
func TestSBOMsOfOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		mallory := h.user("mallory", false)
		h.project("team", core.Private, nil)
		p, err := h.store.CreateProject(h.ctx, store.NewProject{Name: "thief", Visibility: core.Private, SparseIndexes: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.store.PutMember(h.ctx, p, "mallory", core.RoleOwner, 0); err != nil {
			t.Fatal(err)
		}
		secret := spdx("secret", "pkg:npm/secret@1")
		h.attach("team/app", h.image("team/app", "x", "1.0"), "application/spdx+json", secret)
		image := h.image("thief/app", "y", "1.0")
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: h.blob("thief/app", ocispec.MediaTypeEmptyJSON, []byte("{}")),
			Layers:  []ocispec.Descriptor{{MediaType: "application/spdx+json", Digest: digest.FromBytes(secret), Size: int64(len(secret))}},
			Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: image, Size: 1}}
		m.SchemaVersion = 2
		h.manifest("thief/app", m.MediaType, m)
		h.readSBOMs()
		var all []SBOM
		h.call(mallory, "GET", "/projects/thief/repositories/app/artifacts/1.0/sbom", "").want(200).into(&all)
		if got := h.found(mallory, "purl=pkg:npm/secret&include=unsigned"); len(got) != 0 || len(all) != 0 {
			t.Errorf("%q %+v", got, all)
		}
		if got := h.found(h.user("ada", true), "purl=pkg:npm/secret&include=unsigned"); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

// The limits of an artifact, at each and one past it.
func TestPackageLimits(t *testing.T) {
	h := sqliteHub(t)
	team := h.project("team", core.Public, nil)
	key := signertest.New()
	h.trusted(team, key)
	list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	list.SchemaVersion = 2
	for i, architecture := range []string{"amd64", "arm64", "riscv64"} {
		d := h.image("team/app", architecture)
		h.attest("team/app", d, key, "https://spdx.dev/Document", spdx(architecture, "pkg:npm/same@1", fmt.Sprintf("pkg:npm/%s@%d", architecture, i)))
		list.Manifests = append(list.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1,
			Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
	}
	h.manifest("team/app", list.MediaType, list, "1.0")
	artifact, err := h.store.Artifact(h.ctx, team, "app", "1.0")
	if err != nil {
		t.Fatal(err)
	}
	look := func(l inventory.Limits) (v *inventory.Inventory, all []inventory.Document) {
		t.Helper()
		v = inventory.New(h.store, h.dir, h.keeper, slog.New(slog.DiscardHandler), l)
		if all, err = v.Documents(h.ctx, "team/app", artifact, ""); err != nil {
			t.Fatal(err)
		}
		return v, all
	}
	for n := 1; n <= 4; n++ {
		if _, all := look(inventory.Limits{Documents: n}); len(all) != min(n, 3) {
			t.Errorf("%d documents of %d", len(all), n)
		}
		if _, all := look(inventory.Limits{Platforms: n}); len(all) != min(n, 3) {
			t.Errorf("documents of %d images of %d", len(all), n)
		}
	}
	v, all := look(inventory.Limits{Listed: 5}) // the last two of the third come on top of four, then of three
	if _, _, err := v.Packages(h.ctx, all, 0, 50); err != nil {
		t.Error(err)
	}
	v, _ = look(inventory.Limits{Listed: 4})
	if _, _, err := v.Packages(h.ctx, all, 0, 50); core.CodeOf(err) != core.CodeLimit {
		t.Error(err)
	}
	for n, want := range map[int]bool{1: true, 2: true} {
		v, _ = look(inventory.Limits{Changes: n})
		if _, complete, err := v.Diff(h.ctx, all[:1], all[1:2]); err != nil || complete != want {
			t.Errorf("%v %v", complete, err)
		}
	}
	v, _ = look(inventory.Limits{Changes: 1})
	if changes, complete, err := v.Diff(h.ctx, all[:1], all[:3]); err != nil || complete || len(changes) != 1 {
		t.Errorf("%v %v %v", changes, complete, err)
	}

	// One statement about more digests than are looked at.
	var subjects []any
	for i := range 3 {
		subjects = append(subjects, map[string]any{"digest": map[string]string{"sha256": fmt.Sprintf("%064x", i)}})
	}
	statement, err := json.Marshal(map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://spdx.dev/Document",
		"subject": subjects, "predicate": spdx("many", "pkg:npm/many@1")})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{2: 2, 3: 3, 4: 3} {
		h.inventory = inventory.New(h.store, h.dir, h.keeper, slog.New(slog.DiscardHandler), inventory.Limits{Attested: n})
		d := h.attach("team/many", digest.FromString("x"), signertest.TypeBundle, key.Envelope(statement))
		if got := h.found(anonymous, "purl=pkg:npm/many"); len(got) != want {
			t.Errorf("%d of 3 digests are read where %d may be", len(got), n)
		}
		if err := h.reg.DeleteManifest(h.ctx, "team/many", d); err != nil {
			t.Fatal(err)
		}
	}

	bare := h.image("team/bare", "bare")
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: h.blob("team/bare", ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: bare, Size: 1}}
	m.SchemaVersion = 2
	for i := range 11 {
		m.Layers = append(m.Layers, h.blob("team/bare", "application/spdx+json", spdx("bare", fmt.Sprintf("pkg:npm/b@%d", i))))
		m.Annotations = map[string]string{"n": fmt.Sprint(i)}
		if i < 9 {
			continue
		}
		d := h.manifest("team/bare", m.MediaType, m)
		h.readSBOMs()
		found, err := h.store.SBOMs(h.ctx, "team/bare", []string{string(bare)}, 100)
		if err != nil || len(found) != 10 {
			t.Errorf("%d documents of %d are read: %v", len(found), i+1, err)
		}
		if err := h.reg.DeleteManifest(h.ctx, "team/bare", d); err != nil {
			t.Fatal(err)
		}
	}
}
