package api

import (
	"context"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api/pages"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// maxShownChecks is how many checks of an artifact are shown.
	maxShownChecks = 1000
	// maxFile is how many findings a file has at most.
	maxFile = 100_000
)

func showScan(s *store.ScanSummary) *ScanSummary {
	return &ScanSummary{State: ScanSummaryState(s.State), Scanner: optional(s.Scanner), ScannedAt: optional(s.ScannedAt), DatabaseAt: optional(s.DatabaseAt),
		Critical: s.Critical, High: s.High, Medium: s.Medium, Low: s.Low, Other: s.Other, Fixable: s.Fixable, Checks: s.Checks,
		Problem: optional(s.Problem), Incomplete: optional(s.Incomplete)}
}

// chinese says whether titles are wanted in Chinese.
func chinese(c *call, lang string) bool {
	return strings.HasPrefix(lang, "zh") || lang == "" && pages.PrefersChinese(c.request.Header.Get("Accept-Language"))
}

// found is what scanners found in an artifact of the path's repository.
func (a *API) found(ctx context.Context, repository, reference string, platform *string) (*store.Artifact, *inventory.Findings, error) {
	c := callOf(ctx)
	v, err := a.store.Artifact(ctx, c.project(), repository, reference)
	if err != nil {
		return nil, nil, err
	}
	f, err := a.inventory.Findings(ctx, c.repository, v, text(platform))
	return v, f, told(err)
}

// vulnerabilities is found of an artifact in which somebody has looked for vulnerabilities, with what is excepted.
func (a *API) vulnerabilities(ctx context.Context, repository, reference string, platform *string) (*store.Artifact, *inventory.Findings, error) {
	c := callOf(ctx)
	v, f, err := a.found(ctx, repository, reference, platform)
	if err == nil && !f.Matched {
		err = inventory.NotScanned(c.repository, reference, f)
	}
	if err != nil {
		return nil, nil, err
	}
	return v, f, a.inventory.Except(ctx, c.project(), c.repository, f.Vulnerabilities)
}

// ListVulnerabilities lists the vulnerabilities of an artifact, page by page or as a file.
func (a *API) ListVulnerabilities(ctx context.Context, r ListVulnerabilitiesRequestObject) (ListVulnerabilitiesResponseObject, error) {
	c, v := callOf(ctx), r.Params
	at, err := a.position(c, v.Limit, v.Cursor, 3)
	if err != nil {
		return nil, err
	}
	artifact, f, err := a.vulnerabilities(ctx, r.Repository, r.Reference, v.Platform)
	if err != nil {
		return nil, err
	}
	all, err := a.inventory.Filter(ctx, f.Vulnerabilities, inventory.FindingFilter{Severity: core.Severity(text(v.Severity)), Fixable: isTrue(v.Fixable),
		Package: text(v.Package), Text: text(v.Q)})
	if err != nil {
		return nil, err
	}
	format := text(v.Format)
	if format != "" && format != "json" {
		return a.findingFile(ctx, format, reported{c.repository, artifact, f.Missing}, all, chinese(c, text(v.Lang)))
	}
	if at.after[0] != "" {
		all = inventory.Behind(all, at.after)
	}
	page := all[:min(at.n, len(all))]
	items, err := a.showFindings(ctx, page, chinese(c, text(v.Lang)))
	if err != nil {
		return nil, err
	}
	out := ListVulnerabilities200JSONResponse{Body: items}
	out.Headers.HallmarkMissing = optional(missing(f.Missing))
	if len(page) > 0 {
		out.Headers.Link = a.next(c, len(all) > len(page), page[len(page)-1].Place()...)
	}
	return out, nil
}

// missing is a header that says why there can be more; a part of why, if there is much to say.
func missing(why []string) string {
	all := strings.Join(why, "; ")
	if len(all) > 1000 {
		all = strings.ToValidUTF8(all[:1000], "") + " .."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, all)
}

func (a *API) showFindings(ctx context.Context, all []inventory.FoundIn, zh bool) ([]Finding, error) {
	said, err := a.inventory.Told(ctx, inventory.IDs(all))
	items := []Finding{}
	for i := range all {
		items = append(items, showFinding(&all[i], said[all[i].ID], zh))
	}
	return items, err
}

// showFinding shows a finding; said may be nil.
func showFinding(f *inventory.FoundIn, said *inventory.Told, zh bool) Finding {
	out := Finding{ID: f.ID, Severity: Severity(f.Severity), Package: f.Package, Version: f.Version, Purl: optional(f.PURL), Fixed: optional(f.Fixed),
		Path: optional(f.Path), Layer: optional(f.Layer), Platforms: append([]string{}, f.Platforms...), Scanners: append([]string{}, f.Scanners...)}
	if e := f.Exception; e != nil {
		out.Exception = &FindingException{ID: e.ID, Reason: e.Reason, ExpiresAt: e.ExpiresAt}
	}
	if said != nil {
		out.Title, out.Score = optional(said.TitleIn(zh)), optional(said.Score)
		if len(said.Links) > 0 {
			out.Links = &said.Links
		}
		if len(said.Aliases) > 0 {
			aliases := showAliases(said.Aliases)
			out.Aliases = &aliases
		}
	}
	return out
}

func showAliases(all []store.Alias) []VulnerabilityAlias {
	out := []VulnerabilityAlias{}
	for _, x := range all {
		out = append(out, VulnerabilityAlias{Alias: x.Alias, Source: x.Source, Title: optional(x.Title)})
	}
	return out
}

// GetChecks shows what else was found in an artifact.
func (a *API) GetChecks(ctx context.Context, r GetChecksRequestObject) (GetChecksResponseObject, error) {
	_, f, err := a.found(ctx, r.Repository, r.Reference, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	out := CheckList{Looked: []string{}, Checks: []Check{}}
	for _, kind := range f.Looked {
		out.Looked = append(out.Looked, string(kind))
	}
	for i := range f.Checks {
		x := &f.Checks[i]
		if kind := text(r.Params.Kind); kind != "" && kind != string(x.Kind) {
			continue
		}
		if out.More = len(out.Checks) == maxShownChecks; out.More {
			break
		}
		out.Checks = append(out.Checks, Check{Kind: string(x.Kind), ID: x.ID, Severity: optional(string(x.Severity)), Title: optional(x.Title),
			Path: optional(x.Path), Layer: optional(x.Layer), Class: optional(x.Class), Platforms: append([]string{}, x.Platforms...),
			Scanners: append([]string{}, x.Scanners...)})
	}
	return GetChecks200JSONResponse(out), nil
}

// DiffVulnerabilities says what vulnerabilities came and went from one artifact to another.
func (a *API) DiffVulnerabilities(ctx context.Context, r DiffVulnerabilitiesRequestObject) (DiffVulnerabilitiesResponseObject, error) {
	to, after, err := a.vulnerabilities(ctx, r.Repository, r.Reference, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	from, before, err := a.vulnerabilities(ctx, r.Repository, r.Params.With, r.Params.Platform)
	if err != nil {
		return nil, err
	}
	came, kept := without(after.Vulnerabilities, before.Vulnerabilities)
	went, _ := without(before.Vulnerabilities, after.Vulnerabilities)
	out := VulnerabilityDiff{From: from.Digest, To: to.Digest, Complete: len(after.Missing)+len(before.Missing) == 0, Unchanged: int64(kept), Changes: []VulnerabilityChange{}}
	for _, side := range []struct {
		change VulnerabilityChangeChange
		all    []inventory.FoundIn
	}{{VulnerabilityChangeChangeAdded, came}, {VulnerabilityChangeChangeRemoved, went}} {
		shown, err := a.showFindings(ctx, side.all, chinese(callOf(ctx), text(r.Params.Lang)))
		if err != nil {
			return nil, err
		}
		for _, f := range shown {
			out.Changes = append(out.Changes, VulnerabilityChange{Change: side.change, Finding: f})
		}
	}
	return DiffVulnerabilities200JSONResponse(out), nil
}

// without is what of a list no finding of another one is the same vulnerability of the same package as, and how many are.
func without(all, other []inventory.FoundIn) (only []inventory.FoundIn, both int) {
	type key struct{ id, pkg string }
	there := map[key]bool{}
	for i := range other {
		there[key{other[i].ID, other[i].Package}] = true
	}
	for i := range all {
		if there[key{all[i].ID, all[i].Package}] {
			both++
			continue
		}
		only = append(only, all[i])
	}
	return only, both
}
