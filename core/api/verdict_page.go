package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/api/pages"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/registry"
)

// Bounds of the page of a digest alone: how many repositories are looked at, and how many verdicts are made.
const (
	maxHolding  = 100
	maxVerdicts = 20
)

// verdictPage answers /t/REPOSITORY@DIGEST, where refusals lead, and /t/DIGEST for those who were told nothing but that they
// were refused; /t/DIGEST?repository=REPOSITORY leads to the first. Whoever may not pull is told the same as where there is nothing.
func (a *API) verdictPage(who identify) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := who(r)
		if core.CodeOf(err) == core.CodeUnauthenticated && len(r.Header["Authorization"]) == 0 {
			p, err = core.Anonymous(), nil // the cookie of a session that is over hides no public project
		}
		if err == nil {
			web.NotePrincipal(w, p)
			err = a.showVerdict(w, r.WithContext(core.WithPrincipal(r.Context(), p)), p)
		}
		if err != nil {
			a.errors.Write(w, r, err)
		}
	}
}

func (a *API) showVerdict(w http.ResponseWriter, r *http.Request, p *core.Principal) error {
	base := a.proxies.Base(r)
	repository, d, ok := verdictOf(r)
	if !ok || a.gate == nil {
		a.verdicts.None(w, r, base)
		return nil
	}
	if named := r.URL.Query().Get("repository"); repository == "" && registry.ValidName(named) {
		redirect(w, r, "/t/"+named+"@"+string(d))
		return nil
	}
	found, more, err := a.readable(r.Context(), p, repository, d)
	if err != nil {
		return err
	}
	switch {
	case len(found) == 0:
		a.verdicts.None(w, r, base)
	case len(found) == 1 && !more:
		a.verdicts.One(w, r, base, found[0])
	default:
		var lines []pages.VerdictLine
		for _, x := range found {
			lines = append(lines, pages.VerdictLine{Repository: x.Repository, Allowed: x.Allowed})
		}
		a.verdicts.List(w, r, base, string(d), lines, more)
	}
	return nil
}

// redirect leads to another address of a page, in the same language. It says nothing of what is there.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	if lang := r.URL.Query().Get("lang"); lang != "" {
		path += "?lang=" + url.QueryEscape(lang)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusFound)
}

// verdictOf reads the path: what is asked about, in which repository or, if that is "", in all of them.
func verdictOf(r *http.Request) (repository string, d digest.Digest, ok bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/t/"))
	if err != nil {
		return "", "", false
	}
	repository, text, named := strings.Cut(path, "@")
	if !named {
		repository, text = "", path
	}
	d, err = registry.ParseDigest(text)
	return repository, d, err == nil && (!named || registry.ValidName(repository))
}

// readable are the verdicts on a digest that a principal may see; more says that there may be further ones.
func (a *API) readable(ctx context.Context, p *core.Principal, repository string, d digest.Digest) (found []*gate.Explanation, more bool, err error) {
	names := []string{repository}
	if repository == "" {
		projects, err := a.directory.VisibleProjects(ctx, p)
		if err != nil {
			return nil, false, err
		}
		if names, err = a.store.Holding(ctx, string(d), p.Admin, projects, maxHolding); err != nil {
			return nil, false, err
		}
	}
	more = len(names) == maxHolding
	for _, name := range names {
		if len(found) == maxVerdicts {
			return found, true, nil
		}
		ok, err := a.mayPull(ctx, p, name)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			continue
		}
		x, err := a.gate.Explain(ctx, name, registry.Reference{Digest: d})
		if code := registry.CodeOf(err); code == registry.CodeManifestUnknown || code == registry.CodeNameUnknown {
			continue
		}
		if err != nil {
			return nil, false, told(err)
		}
		found = append(found, x)
	}
	return found, more, nil
}

func (a *API) mayPull(ctx context.Context, p *core.Principal, repository string) (bool, error) {
	project, _, _ := strings.Cut(repository, "/")
	st, err := a.directory.LiveStanding(ctx, p, project)
	return err == nil && st.Project != nil && access.Stands(p, core.ActionPull, repository, st), err
}
