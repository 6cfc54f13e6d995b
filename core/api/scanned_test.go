package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const (
	typeSPDX      = "application/spdx+json"
	typeCycloneDX = "application/vnd.cyclonedx+json"
)

// byTrivy is what Trivy 0.74 made of an image with a Go program on Debian, with pieces of it replaced.
func byTrivy(t *testing.T, replace ...string) []inventory.Scanned {
	t.Helper()
	var all []inventory.Scanned
	for file, mediaType := range map[string]string{"testdata/shop.spdx.json": typeSPDX, "testdata/shop.cdx.json": typeCycloneDX} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, inventory.Scanned{MediaType: mediaType, Document: []byte(strings.NewReplacer(replace...).Replace(string(b)))})
	}
	return all
}

// scanned is what the end of a scan does.
func (h *hub) scannerSBOMs(repository string, image digest.Digest, all []inventory.Scanned) {
	h.t.Helper()
	if err := h.inventory.Scanned(h.ctx, repository, string(image), all); err != nil {
		h.t.Fatal(err)
	}
}

// cdx is a CycloneDX document that lists package URLs, as a scanner makes one.
func cdx(purls ...string) []inventory.Scanned {
	var components []string
	for _, p := range purls {
		components = append(components, fmt.Sprintf(`{"type":"library","purl":%q}`, p))
	}
	return []inventory.Scanned{{MediaType: typeCycloneDX, Document: fmt.Appendf(nil, `{"bomFormat":"CycloneDX","specVersion":"1.7","components":[%s]}`, strings.Join(components, ","))}}
}

// What the scanner made is shown, found, and downloaded as it was signed.
func TestScannedSBOMs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		guest := h.user("gus", false)
		team := h.project("team", core.Private, map[string]core.Role{"gus": core.RoleGuest})
		image := h.image("team/app", "x", "1.0")
		const path = "/projects/team/repositories/app/artifacts/1.0"
		wanted := func(want int) {
			t.Helper()
			if got := h.inventory.Wanted(h.ctx, "team/app", string(image)); len(got) != want {
				t.Errorf("%q are wanted of a scan, want %d", got, want)
			}
		}
		sources := func(want ...SBOMSource) {
			t.Helper()
			var one Artifact
			h.call(guest, "GET", path, "").want(200).into(&one)
			var all []Artifact
			h.call(guest, "GET", "/projects/team/repositories/app/artifacts?tagged=true", "").want(200).into(&all)
			if len(all) != 1 || !slices.Equal(one.Sboms, want) || !slices.Equal(all[0].Sboms, want) {
				t.Errorf("sources %v, and %+v in the list, want %v", one.Sboms, all, want)
			}
		}
		list := func() (all []SBOM) {
			t.Helper()
			h.call(guest, "GET", path+"/sbom", "").want(200).into(&all)
			return all
		}
		if _, found, err := h.inventory.Document(h.ctx, "team/app", string(image)); found || err != nil {
			t.Errorf("found %v %v", found, err)
		}
		sources()
		wanted(2)
		h.scannerSBOMs("team/app", image, byTrivy(t))
		wanted(2) // newer ones take their place
		sources("scanner")
		all := list()
		if len(all) != 2 {
			t.Fatalf("%+v", all)
		}
		for _, x := range all {
			if !x.Trusted || x.Source != "scanner" || x.Signer != nil || x.Packages != 6 || x.Problem != nil || x.Unnamed != 2 {
				t.Errorf("%+v", x)
			}
		}
		for format, mediaType := range map[string]string{"spdx": typeSPDX, "cyclonedx": typeCycloneDX} {
			r := h.call(guest, "GET", path+"/sbom?format="+format, "").want(200)
			if !json.Valid(r.Body) || !strings.Contains(string(r.Body), "golang.org/x/text@v0.41.0") || r.Header.Get("Hallmark-Source") != "scanner" ||
				r.Header.Get("Hallmark-Trusted") != "true" || r.Header.Get("Content-Type") != mediaType {
				t.Errorf("%s: %v %.200s", format, r.Header, r.Body)
			}
			if format == "cyclonedx" {
				document, found, err := h.inventory.Document(h.ctx, "team/app", string(image))
				if !found || err != nil || string(document) != string(r.Body) {
					t.Errorf("the document of the scanner: %v %v", found, err)
				}
			}
		}
		once := []string{"team/app:1.0 v0.41.0 scanner"}
		found := func(want ...string) {
			t.Helper()
			var page []PackageHit
			h.call(guest, "GET", "/packages?purl="+textModule, "").want(200).into(&page)
			var got []string
			for _, x := range page {
				got = append(got, x.FullName+":"+strings.Join(x.Tags, ",")+" "+x.Version+" "+string(x.Source))
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		}
		found(once...)

		// The same again, made at another time: nothing moves. Another list: it takes the place of the first.
		h.scannerSBOMs("team/app", image, byTrivy(t, "2026-11-21", "2026-12-24", "f576da46-d0c7-4f68-a06f-9fbdc9fa2e53", "00000000-d0c7-4f68-a06f-9fbdc9fa2e53"))
		if again := list(); len(again) != 2 || again[0].Carrier != all[0].Carrier || again[1].Carrier != all[1].Carrier {
			t.Errorf("a second scan made %+v of %+v", again, all)
		}
		h.scannerSBOMs("team/app", image, byTrivy(t, "v0.41.0", "v0.42.0"))
		if again := list(); len(again) != 2 || again[0].Carrier == all[0].Carrier || again[1].Carrier == all[1].Carrier {
			t.Errorf("another list made %+v of %+v", again, all)
		}
		found("team/app:1.0 v0.42.0 scanner")
		// What is none, or too large, or says it is another one, is left out.
		h.scannerSBOMs("team/app", image, []inventory.Scanned{{MediaType: typeSPDX, Document: []byte("{")}, {MediaType: typeCycloneDX, Document: byTrivy(t)[0].Document[:9]},
			{MediaType: "text/plain", Document: []byte("x")}})
		h.scannerSBOMs("team/app", image, []inventory.Scanned{{MediaType: typeSPDX, Document: cdx("pkg:npm/a@1")[0].Document}})
		found("team/app:1.0 v0.42.0 scanner")

		// What the publisher attests comes first from then on, and says it once.
		key := signertest.New()
		h.trusted(team, key)
		attested := h.attest("team/app", image, key, "https://spdx.dev/Document", spdx("signed", textModule+"@v0.42.0", "pkg:npm/mine@1"))
		wanted(1)
		sources("attestation", "scanner")
		if all = list(); len(all) != 3 || all[0].Source != "attestation" || all[1].Source != "scanner" {
			t.Errorf("%+v", all)
		}
		found("team/app:1.0 v0.42.0 attestation")
		var page []Package
		h.call(guest, "GET", path+"/packages", "").want(200).into(&page)
		if len(page) != 2 || page[0].Source != "attestation" {
			t.Errorf("%+v", page)
		}
		// As soon as the key counts no more, the scanner's word is what is left.
		if _, err := h.keeper.RevokeAuthority(h.ctx, team, "ci"); err != nil {
			t.Fatal(err)
		}
		wanted(2)
		found("team/app:1.0 v0.42.0 scanner")
		if err := h.reg.DeleteManifest(h.ctx, "team/app", attested); err != nil {
			t.Fatal(err)
		}

		off := false
		if _, err := h.store.UpdateProject(h.ctx, team, store.ProjectPatch{SBOMOnPush: &off}, store.AnyRevision); err != nil {
			t.Fatal(err)
		}
		wanted(0)
		h.scannerSBOMs("team/app", image, byTrivy(t, "v0.41.0", "v0.43.0"))
		found("team/app:1.0 v0.42.0 scanner")
		if err := h.reg.DeleteManifest(h.ctx, "team/app", image); err != nil {
			t.Fatal(err)
		}
		if _, err := h.inventory.Owed(h.ctx); err != nil {
			t.Fatal(err)
		}
		found()
		if left, _, err := h.store.Artifacts(h.ctx, team, "app", store.ArtifactQuery{}); err != nil || len(left) != 0 {
			t.Errorf("left: %+v %v", left, err)
		}
	})
}

// An image of an index is found by the tag of the index; two tags differ, whoever says what is in them.
func TestScannedIndexes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		team := h.project("team", core.Public, nil)
		key := signertest.New()
		h.trusted(team, key)
		index := func(tag, version string, attested bool) {
			t.Helper()
			list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
			list.SchemaVersion = 2
			for _, architecture := range []string{"amd64", "arm64"} {
				d := h.image("team/app", tag+architecture)
				if attested && architecture == "arm64" {
					h.attest("team/app", d, key, "https://spdx.dev/Document", spdx(tag, textModule+"@"+version))
				} else {
					h.scannerSBOMs("team/app", d, cdx(textModule+"@"+version))
				}
				list.Manifests = append(list.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1,
					Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
			}
			h.manifest("team/app", list.MediaType, list, tag)
		}
		index("one", "v1.0.0", false)
		index("two", "v1.1.0", true)
		const path = "/projects/team/repositories/app/artifacts/"
		var hits []PackageHit
		h.call(anonymous, "GET", "/packages?purl="+textModule+"@v1.0.0", "").want(200).into(&hits)
		if len(hits) != 2 || !slices.Equal(hits[0].Tags, []string{"one"}) || !slices.Equal(hits[1].Tags, []string{"one"}) || hits[0].Digest == hits[1].Digest {
			t.Errorf("%+v", hits)
		}
		var one Artifact
		h.call(anonymous, "GET", path+"two", "").want(200).into(&one)
		if !slices.Equal(one.Sboms, []SBOMSource{"attestation", "scanner"}) {
			t.Errorf("%+v", one.Sboms)
		}
		var d PackageDiff
		h.call(anonymous, "GET", path+"two/packages/diff?against=one", "").want(200).into(&d)
		if len(d.Changes) != 1 || !d.Trusted || !slices.Equal(d.Changes[0].From, []string{"v1.0.0"}) || !slices.Equal(d.Changes[0].To, []string{"v1.1.0"}) {
			t.Errorf("%+v", d)
		}
	})
}

// On which newer tags a package is fixed, of those of which everything is known.
func TestFixedOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		team := h.project("team", core.Public, nil)
		key := signertest.New()
		h.trusted(team, key)
		push := func(tag string, purls ...string) {
			t.Helper()
			h.scannerSBOMs("team/app", h.image("team/app", tag, tag), cdx(purls...))
		}
		push("0.9", "pkg:npm/other@1.0.0") // before it came in
		push("1.0", textModule+"@v0.9.0", "pkg:maven/org/log@1.0")
		push("1.1", textModule+"@v0.9.0", textModule+"@v0.10.0", "pkg:maven/org/log@2.0")
		h.image("team/app", "unknown", "1.2")
		push("1.3", textModule+"@v0.10.0")
		h.attest("team/app", h.image("team/app", "signed", "1.4"), key, "https://spdx.dev/Document", spdx("none", "pkg:npm/other@1.0.0"))
		push("1.5", textModule+"@v0.8.0")
		h.attach("team/app", h.image("team/app", "bare", "1.6"), "application/spdx+json", spdx("bare", "pkg:npm/other@2.0.0"))
		half := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		half.SchemaVersion = 2
		whole := half
		for n, architecture := range []string{"amd64", "arm64"} {
			d := h.image("team/app", "half"+architecture)
			if n == 0 {
				h.scannerSBOMs("team/app", d, cdx(textModule+"@v0.11.0"))
			}
			half.Manifests = append(half.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1,
				Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
			e := h.image("team/app", "whole"+architecture)
			h.scannerSBOMs("team/app", e, cdx(fmt.Sprintf("%s@v0.1%d.0", textModule, n+1)))
			whole.Manifests = append(whole.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: e, Size: 1,
				Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
		}
		h.manifest("team/app", half.MediaType, half, "1.7")
		h.manifest("team/app", whole.MediaType, whole, "1.8")
		fixed := func(query string) string {
			t.Helper()
			var hits []PackageHit
			h.call(anonymous, "GET", "/packages?fixed=true&purl="+query, "").want(200).into(&hits)
			var out []string
			for _, x := range hits {
				if x.FixedBy == nil {
					t.Fatalf("nothing is told of %+v", x)
				}
				line := strings.Join(x.Tags, ",") + ":"
				for _, f := range *x.FixedBy {
					line += fmt.Sprintf(" %s %s %v", f.Tag, f.Change, f.Versions)
				}
				out = append(out, line)
			}
			return strings.Join(out, "; ")
		}
		if got, want := fixed(textModule+"@v0.9.0&limit=1"), "1.0: 1.8 newer [v0.11.0 v0.12.0] 1.4 removed [] 1.3 newer [v0.10.0]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := fixed("pkg:maven/org/log@1.0"), "1.0: 1.8 removed [] 1.5 removed [] 1.4 removed [] 1.3 removed [] 1.1 other [2.0]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := fixed("pkg:maven/org/log@2.0"), "1.1: 1.8 removed [] 1.5 removed [] 1.4 removed [] 1.3 removed []"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := fixed("pkg:maven/org/none"); got != "" {
			t.Error(got)
		}
		// Whoever is revoked fixes nothing any more.
		if _, err := h.keeper.RevokeAuthority(h.ctx, team, "ci"); err != nil {
			t.Fatal(err)
		}
		if got, want := fixed(textModule+"@v0.9.0&limit=1"), "1.0: 1.8 newer [v0.11.0 v0.12.0] 1.3 newer [v0.10.0]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		var hits []PackageHit
		h.call(anonymous, "GET", "/packages?purl="+textModule, "").want(200).into(&hits)
		for _, x := range hits {
			if x.FixedBy != nil {
				t.Errorf("told unasked: %+v", x)
			}
		}
	})
}

// The limits of what is attached and of what is looked at for fixes, at each and one past it.
func TestScannedLimits(t *testing.T) {
	h := sqliteHub(t)
	h.project("team", core.Public, nil)
	with := func(l inventory.Limits) *inventory.Inventory {
		return inventory.New(h.store, h.dir, h.keeper, slog.New(slog.DiscardHandler), l)
	}
	h.scannerSBOMs("team/app", h.image("team/app", "0", "vulnerable"), cdx(textModule+"@v1.0.0"))
	h.scannerSBOMs("team/app", h.image("team/app", "1", "fixed"), cdx(textModule+"@v1.1.0"))
	h.scannerSBOMs("team/app", h.image("team/app", "2", "too"), cdx(textModule+"@v1.2.0"))
	list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	list.SchemaVersion = 2
	for _, architecture := range []string{"amd64", "arm64"} {
		d := h.image("team/app", architecture)
		h.scannerSBOMs("team/app", d, cdx(textModule+"@v1.3.0"))
		list.Manifests = append(list.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1,
			Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
	}
	h.manifest("team/app", list.MediaType, list, "both")
	p := core.Package{Type: "golang", Namespace: "golang.org/x", Name: "text"}
	version := "v1.0.0"
	for _, c := range []struct {
		limits inventory.Limits
		want   string
	}{
		{inventory.Limits{}, "both too fixed"},
		{inventory.Limits{FixTags: 3}, "both too fixed"}, {inventory.Limits{FixTags: 2}, "both too"},
		{inventory.Limits{FixImages: 5}, "both too fixed"}, {inventory.Limits{FixImages: 4}, "both too"},
		{inventory.Limits{Fixes: 3}, "both too fixed"}, {inventory.Limits{Fixes: 2}, "both too"},
		{inventory.Limits{Platforms: 3}, "both too fixed"}, {inventory.Limits{Platforms: 2}, "too fixed"},
	} {
		v := with(c.limits)
		hits, _, err := v.Search(h.ctx, core.PrincipalFrom(h.ctx), inventory.Query{Package: p, Version: &version, N: 10,
			Sees: func(store.ListedProject, string) bool { return true }})
		if err != nil || len(hits) != 1 {
			t.Fatalf("%+v %v", hits, err)
		}
		if err := v.Fixed(h.ctx, hits, p); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range hits[0].Fixes {
			got = append(got, f.Tag)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, want %s", c.limits, got, c.want)
		}
	}

	image := h.image("team/app", "large", "large")
	document := cdx("pkg:npm/large@1")[0]
	for over, want := range []int{1, 0} {
		v := with(inventory.Limits{Scanned: len(document.Document) - over})
		if over == 1 {
			image = h.image("team/app", "larger", "larger")
		}
		if err := v.Scanned(h.ctx, "team/app", string(image), []inventory.Scanned{document}); err != nil {
			t.Error(err)
		}
		if all, err := h.store.AttachedSBOMs(h.ctx, "team/app", string(image)); err != nil || len(all) != want {
			t.Errorf("%d past the limit: %+v %v", over, all, err)
		}
	}

	for i := range maxFixed + 1 {
		tag := fmt.Sprintf("many%d", i)
		h.scannerSBOMs("team/many", h.image("team/many", tag, tag), cdx("pkg:npm/many@1.0.0"))
	}
	var page []PackageHit
	for query, want := range map[string]int{"": maxFixed + 1, "&fixed=true": maxFixed} {
		r := h.call(anonymous, "GET", "/packages?limit=60&purl=pkg:npm/many"+query, "").want(200).into(&page)
		if len(page) != want || (r.next() == "") != (want > maxFixed) {
			t.Errorf("%q: %d items, want %d", query, len(page), want)
		}
	}
}

// The largest document that is attached can be read where it lies, in whatever way its bytes are written.
func TestLargestScanned(t *testing.T) {
	h := sqliteHub(t)
	h.project("team", core.Public, nil)
	for _, c := range []struct {
		piece string
		times int
	}{{"x", 11_999_000}, {"<", 1_999_970}} {
		image := h.image("team/app", c.piece, "1.0")
		document := cdx("pkg:npm/large@1")[0]
		document.Document = []byte(strings.Replace(string(document.Document), `"components"`, `"comment":"`+strings.Repeat(c.piece, c.times)+`","components"`, 1))
		h.scannerSBOMs("team/app", image, []inventory.Scanned{document})
		text, found, err := h.inventory.Document(h.ctx, "team/app", string(image))
		if err != nil || !found || len(text) < 11_999_000 {
			t.Errorf("%q: %d bytes, found %v: %v", c.piece, len(text), found, err)
		}
	}
}
