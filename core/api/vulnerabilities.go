package api

import (
	"context"
	"net/url"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
)

// uriPath is a path as a relative reference: what has a meaning in one is escaped.
func uriPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// FindVulnerabilities looks for vulnerabilities by what they are called, in what the principal may pull.
func (a *API) FindVulnerabilities(ctx context.Context, r FindVulnerabilitiesRequestObject) (FindVulnerabilitiesResponseObject, error) {
	c := callOf(ctx)
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, 1)
	if err != nil {
		return nil, err
	}
	who, may, err := a.seeing(ctx, c.principal)
	if err != nil {
		return nil, err
	}
	var names []string
	more := false
	if at.n > 0 {
		bounded := who.Kind == core.KindRobot || who.Grants != nil
		names, more, err = a.inventory.FindVulnerabilities(ctx, who, store.VulnerabilityQuery{Text: text(r.Params.Q), After: at.after[0], N: at.n}, bounded, may(core.ActionPull))
		if err != nil {
			return nil, err
		}
	}
	said, err := a.inventory.Told(ctx, names)
	if err != nil {
		return nil, err
	}
	items := []VulnerabilitySummary{}
	last := ""
	for _, name := range names {
		v := said[name]
		items = append(items, VulnerabilitySummary{ID: name, Severity: Severity(v.Severity), Title: v.TitleIn(chinese(c, text(r.Params.Lang))),
			Score: optional(v.Score), Aliases: showAliases(v.Aliases)})
		last = name
	}
	return FindVulnerabilities200JSONResponse{Body: items, Headers: FindVulnerabilities200ResponseHeaders{Link: a.next(c, more, last)}}, nil
}

// GetVulnerability says what a vulnerability is and what has it, of all that the principal may pull.
func (a *API) GetVulnerability(ctx context.Context, r GetVulnerabilityRequestObject) (GetVulnerabilityResponseObject, error) {
	c := callOf(ctx)
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, 3)
	if err != nil {
		return nil, err
	}
	who, may, err := a.seeing(ctx, c.principal)
	if err != nil {
		return nil, err
	}
	q := inventory.VulnerableQuery{Name: r.Vulnerability, Project: text(r.Params.Project), Sees: may(core.ActionPull), N: at.n,
		After: inventory.VulnerablePosition{Project: at.after[0], Repository: at.after[1], Digest: at.after[2]}}
	v, err := a.inventory.Known(ctx, who, q)
	if err == nil && v == nil {
		err = core.Errorf(core.CodeNotFound, "there is no vulnerability %s in anything that you may pull", r.Vulnerability)
	}
	if err != nil {
		return nil, err
	}
	q.Name = v.ID
	var hits []inventory.Vulnerable
	more := false
	if at.n > 0 {
		if hits, more, err = a.inventory.Vulnerable(ctx, who, q); err != nil {
			return nil, err
		}
	}
	out := Vulnerability{ID: v.ID, Severity: Severity(v.Severity), Title: v.TitleIn(chinese(c, text(r.Params.Lang))), Description: v.Description,
		Score: optional(v.Score), Vector: optional(v.Vector), Cwes: append([]string{}, v.CWEs...), Links: append([]string{}, v.Links...),
		Aliases: showAliases(v.Aliases), Affected: []AffectedImage{}}
	var link *string
	for i := range hits {
		out.Affected = append(out.Affected, showAffected(&hits[i]))
		p := hits[i].VulnerablePosition
		link = a.next(c, more, p.Project, p.Repository, p.Digest)
	}
	return GetVulnerability200JSONResponse{Body: out, Headers: GetVulnerability200ResponseHeaders{Link: link}}, nil
}

func showAffected(h *inventory.Vulnerable) AffectedImage {
	out := AffectedImage{Project: h.Project.Name, Repository: strings.TrimPrefix(h.Repository, h.Project.Name+"/"), FullName: h.Repository, Digest: h.Digest,
		Tags: append([]string{}, h.Tags...), ScannedAt: h.ScannedAt, Findings: []Finding{}, FixedTags: append([]string{}, h.FixedTags...), Excepted: len(h.Found) > 0}
	for i := range h.Found {
		out.Findings = append(out.Findings, showFinding(&h.Found[i], nil, false))
		out.Excepted = out.Excepted && h.Found[i].Exception != nil
	}
	return out
}

// ListProjectVulnerabilities lists the findings in all images of a project that the principal may pull.
func (a *API) ListProjectVulnerabilities(ctx context.Context, r ListProjectVulnerabilitiesRequestObject) (ListProjectVulnerabilitiesResponseObject, error) {
	c, v := callOf(ctx), r.Params
	at, err := a.position(c, nil, v.Cursor, 5)
	if err != nil {
		return nil, err
	}
	n, csv := maxPage, text(v.Format) == "csv"
	if csv {
		n = exportPage
	}
	if v.Limit != nil {
		n = min(int(*v.Limit), n)
	}
	q := inventory.ProjectQuery{Filter: inventory.FindingFilter{Severity: core.Severity(text(v.Severity)), Fixable: isTrue(v.Fixable)}, N: n,
		Sees: func(repository string) bool { return c.canOn(core.ActionPull, repository) }, After: store.ImagePosition{RepositoryID: at.after[0], Digest: at.after[1]}}
	if at.after[2] != "" {
		q.Place = at.after[2:]
	}
	found, more, err := a.inventory.Project(ctx, c.project(), q)
	if err != nil {
		return nil, err
	}
	var all []inventory.FoundIn
	var link *string
	for i := range found {
		x := &found[i]
		all = append(all, x.FoundIn)
		link = a.next(c, more, append([]string{x.RepositoryID, x.Digest}, x.Place()...)...)
	}
	said, err := a.inventory.Told(ctx, inventory.IDs(all))
	if err != nil {
		return nil, err
	}
	zh := chinese(c, text(v.Lang))
	if csv {
		return projectFile(found, said, link, zh)
	}
	items := []ProjectFinding{}
	for i := range found {
		x := &found[i]
		items = append(items, ProjectFinding{Repository: strings.TrimPrefix(x.Repository, c.project().Name+"/"), FullName: x.Repository, Digest: x.Digest,
			Tags: append([]string{}, x.Tags...), ScannedAt: x.ScannedAt, Finding: showFinding(&x.FoundIn, said[x.ID], zh)})
	}
	return ListProjectVulnerabilities200JSONResponse{Body: items, Headers: ListProjectVulnerabilities200ResponseHeaders{Link: link}}, nil
}

func projectFile(found []inventory.ProjectFinding, said map[string]*inventory.Told, link *string, zh bool) (ListProjectVulnerabilitiesResponseObject, error) {
	rows := [][]string{findingColumns()}
	for i := range found {
		x := &found[i]
		rows = append(rows, findingRow(x.Repository, x.Digest, x.Tags, &x.FoundIn, said[x.ID], zh))
	}
	f := findingDocument{mediaType: "text/csv; charset=utf-8", name: "vulnerabilities.csv", link: text(link)}
	var err error
	f.text, err = csvText(rows)
	return f, err
}
