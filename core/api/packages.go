package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/sbom"
	"github.com/hallmarkhub/hallmark/core/store"
)

// FindPackage lists what has a package, of all that the principal may pull.
func (a *API) FindPackage(ctx context.Context, r FindPackageRequestObject) (FindPackageResponseObject, error) {
	c := callOf(ctx)
	q, err := packageQuery(r.Params)
	if err != nil {
		return nil, err
	}
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, positionParts)
	if err != nil {
		return nil, err
	}
	if q.After, err = positionOf(at.after); err != nil {
		return nil, err
	}
	who, may, err := a.seeing(ctx, c.principal)
	if err != nil {
		return nil, err
	}
	q.N, q.Sees = at.n, may(core.ActionPull)
	if isTrue(r.Params.Fixed) {
		q.N = min(q.N, maxFixed)
	}
	var hits []inventory.Hit
	more := false
	if at.n > 0 {
		if hits, more, err = a.inventory.Search(ctx, who, q); err != nil {
			return nil, err
		}
	}
	if isTrue(r.Params.Fixed) {
		if err := a.inventory.Fixed(ctx, hits, q.Package); err != nil {
			return nil, err
		}
	}
	if isTrue(r.Params.Pulls) {
		owns := may(core.ActionProjectPolicy)
		if err := a.inventory.Pulled(ctx, hits, func(p store.ListedProject) bool { return owns(p, "") }); err != nil {
			return nil, err
		}
	}
	items := []PackageHit{}
	var link *string
	for _, h := range hits {
		items = append(items, showHit(q.Package, h))
	}
	if len(hits) > 0 {
		link = a.next(c, more, partsOf(hits[len(hits)-1].Position)...)
	}
	return FindPackage200JSONResponse{Body: items, Headers: FindPackage200ResponseHeaders{Link: link}}, nil
}

// mayIn says whether somebody may do an action in a project of a list, and on a repository there.
type mayIn func(action core.Action) func(p store.ListedProject, repository string) bool

// seeing is who asks as he stands now, and what he may do in projects of a list.
func (a *API) seeing(ctx context.Context, p *core.Principal) (*core.Principal, mayIn, error) {
	st, err := a.directory.LiveStanding(ctx, p, "")
	if err != nil {
		return nil, nil, err
	}
	who := *p
	who.Admin = who.Admin && st.Admin
	return &who, func(action core.Action) func(p store.ListedProject, repository string) bool {
		return func(p store.ListedProject, repository string) bool {
			there := st
			there.Project, there.Role = &p.Project, p.Role
			return access.Stands(&who, action, repository, there)
		}
	}, nil
}

// maxFixed is how many items a page has whose repositories are looked through for fixes.
const maxFixed = 50

func packageQuery(v FindPackageParams) (q inventory.Query, err error) {
	p, err := sbom.ParsePURL(v.Purl)
	if err != nil {
		return q, core.Invalid("purl", "%s", err.Error())
	}
	q = inventory.Query{Package: p, Version: v.Version, Project: text(v.Project), Unsigned: text(v.Include) == "unsigned"}
	if p.Version != "" {
		if v.Version != nil && *v.Version != p.Version {
			return q, core.Invalid("version", "the package URL names another version: leave one of both out")
		}
		q.Version = &p.Version
	}
	return q, nil
}

// positionParts is how many parts a cursor of hits has.
const positionParts = 7

func partsOf(p inventory.Position) []string {
	return []string{strconv.FormatInt(p.Scope, 10), strconv.FormatInt(p.Version, 10), strconv.FormatInt(p.Document, 10), p.Repository, p.Subject,
		p.Carrier, strconv.FormatInt(p.Item, 10)}
}

// positionOf reads a cursor, which is signed: its parts are what partsOf has made, or all empty.
func positionOf(parts []string) (p inventory.Position, err error) {
	if parts[0] == "" {
		return p, nil
	}
	p.Repository, p.Subject, p.Carrier = parts[3], parts[4], parts[5]
	for i, n := range map[int]*int64{0: &p.Scope, 1: &p.Version, 2: &p.Document, 6: &p.Item} {
		if *n, err = strconv.ParseInt(parts[i], 10, 64); err != nil {
			return p, err
		}
	}
	return p, nil
}

func showHit(p core.Package, h inventory.Hit) PackageHit {
	p.Version, p.Rest = h.Version, ""
	out := PackageHit{Purl: sbom.PURL(&p), Version: h.Version, Project: h.Project.Name, Repository: strings.TrimPrefix(h.Repository, h.Project.Name+"/"),
		FullName: h.Repository, Digest: h.Digest, Tags: append([]string{}, h.Tags...), Source: SBOMSource(h.Source), Trusted: h.Trusted,
		Signer: optional(h.Signer), Document: h.Document, Format: h.Format}
	if h.Fixes != nil {
		fixed := []PackageFix{}
		for _, f := range h.Fixes {
			fixed = append(fixed, PackageFix{Tag: f.Tag, Digest: f.Digest, Change: PackageFixChange(f.Change), Versions: append([]string{}, f.Versions...)})
		}
		out.FixedBy = &fixed
	}
	if h.Pulls != nil {
		pulled := []Puller{}
		for _, u := range h.Pulls {
			pulled = append(pulled, Puller{Principal: u.Principal, Pulls: u.Pulls, LastAt: u.LastAt})
		}
		out.PulledBy = &pulled
	}
	return out
}

// documents are those of an artifact of the path's repository.
func (a *API) documents(ctx context.Context, repository, reference string, platform *string) (*store.Artifact, []inventory.Document, error) {
	c := callOf(ctx)
	v, err := a.store.Artifact(ctx, c.project(), repository, reference)
	if err != nil {
		return nil, nil, err
	}
	all, err := a.inventory.Documents(ctx, c.repository, v, text(platform))
	return v, all, told(err)
}

// GetSBOM lists the bills of materials of an artifact, or shows one as it was signed.
func (a *API) GetSBOM(ctx context.Context, r GetSBOMRequestObject) (GetSBOMResponseObject, error) {
	_, all, err := a.documents(ctx, r.Repository, r.Reference, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	items := []SBOM{}
	format := text(r.Params.Format)
	for i := range all {
		d := &all[i]
		if r.Params.Document != nil && *r.Params.Document != d.Digest {
			continue
		}
		if format != "" && format != "json" {
			if d.Format == format {
				return a.download(ctx, d)
			}
			continue
		}
		items = append(items, showSBOM(d))
	}
	if format != "" && format != "json" {
		return nil, core.Errorf(core.CodeNotFound, "there is no document of the format %s for this artifact: format=json lists what there is", format)
	}
	return GetSBOM200JSONResponse{Body: items}, nil
}

func (a *API) download(ctx context.Context, d *inventory.Document) (GetSBOMResponseObject, error) {
	document, err := a.inventory.Text(ctx, callOf(ctx).repository, d)
	if err != nil {
		return nil, told(err)
	}
	return documentFile{d, document}, nil
}

// documentFile is a document as an answer: its bytes are not to be written anew, which the generated code would do.
type documentFile struct {
	*inventory.Document
	text []byte
}

// VisitGetSBOMResponse writes the document.
func (f documentFile) VisitGetSBOMResponse(w http.ResponseWriter) error {
	mediaType, name := "application/spdx+json", "sbom.spdx.json"
	if f.Format == string(sbom.CycloneDX) {
		mediaType, name = "application/vnd.cyclonedx+json", "sbom.cdx.json"
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(f.text)))
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Hallmark-Source", string(f.Source))
	h.Set("Hallmark-Trusted", strconv.FormatBool(f.Trusted))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(f.text)
	return err
}

func showSBOM(d *inventory.Document) SBOM {
	return SBOM{Document: d.Digest, Subject: d.Subject, Platform: optional(d.Platform), Format: d.Format, Version: d.Version, Packages: d.Packages,
		Unnamed: d.Unnamed, Problem: optional(d.Problem), Source: SBOMSource(d.Source), Trusted: d.Trusted, Signer: optional(d.Signer),
		Carrier: d.Carrier, Content: d.Content, CreatedAt: d.CreatedAt}
}

// ListArtifactPackages lists what is in an artifact.
func (a *API) ListArtifactPackages(ctx context.Context, r ListArtifactPackagesRequestObject) (ListArtifactPackagesResponseObject, error) {
	c := callOf(ctx)
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, 1)
	if err != nil {
		return nil, err
	}
	first := 0
	if at.after[0] != "" {
		if first, err = strconv.Atoi(at.after[0]); err != nil {
			return nil, err
		}
	}
	_, all, err := a.documents(ctx, r.Repository, r.Reference, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	found, total, err := a.inventory.Packages(ctx, all, first, at.n)
	if err != nil {
		return nil, err
	}
	items := []Package{}
	for i := range found {
		p := &found[i]
		items = append(items, Package{Purl: sbom.PURL(&p.Package), Type: p.Type, Namespace: p.Namespace, Name: p.Name, Version: p.Version,
			Licences: p.Licences, Platforms: append([]string{}, p.Platforms...), Source: SBOMSource(p.Source), Trusted: p.Trusted})
	}
	link := a.next(c, len(found) > 0 && first+len(found) < total, strconv.Itoa(first+len(found)))
	return ListArtifactPackages200JSONResponse{Body: items, Headers: ListArtifactPackages200ResponseHeaders{Link: link}}, nil
}

// DiffPackages says what packages differ between two artifacts of a repository.
func (a *API) DiffPackages(ctx context.Context, r DiffPackagesRequestObject) (DiffPackagesResponseObject, error) {
	to, after, err := a.documents(ctx, r.Repository, r.Reference, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	from, before, err := a.documents(ctx, r.Repository, r.Params.Against, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	changes, complete, err := a.inventory.Diff(ctx, before, after)
	if err != nil {
		return nil, err
	}
	out := PackageDiff{From: from.Digest, To: to.Digest, Complete: complete, Trusted: inventory.Trusted(before) && inventory.Trusted(after), Changes: []PackageChange{}}
	for i := range changes {
		x := &changes[i]
		change := PackageChange{Purl: sbom.PURL(&x.Package), Change: PackageChangeChangeChanged, From: append([]string{}, x.From...), To: append([]string{}, x.To...)}
		switch {
		case len(x.From) == 0:
			change.Change = PackageChangeChangeAdded
		case len(x.To) == 0:
			change.Change = PackageChangeChangeRemoved
		}
		out.Changes = append(out.Changes, change)
	}
	return DiffPackages200JSONResponse(out), nil
}
