package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// maxPage is the most that is asked for at once: distribution refuses more.
const maxPage = 1000

// Tags is registry.Lister's, in the other side's order. Names that are no tags (registry.ValidTag) are left out, since
// they could not be asked for. A page may be shorter than n.
func (r *Registry) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	if err := checkName(repo); err != nil {
		return registry.Page{}, err
	}
	return r.names(ctx, "/v2/"+repo+"/tags/list", pull(repo), after, n, registry.ValidTag)
}

// Repositories is registry.Lister's, from the other side's catalog and in its order: what the credentials may see there.
// It goes through as many of its pages as it takes to fill one of ours.
func (r *Registry) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	wanted := func(name string) bool {
		project, _, _ := strings.Cut(name, "/")
		return (q.All || slices.Contains(q.Projects, project)) && (q.Match == nil || q.Match(name))
	}
	var page registry.Page
	if !q.All && len(q.Projects) == 0 || q.N <= 0 {
		return page, nil
	}
	n := maxPage - 1
	if q.All && q.Match == nil {
		n = min(q.N, n)
	}
	for after := q.After; ; {
		theirs, err := r.names(ctx, "/v2/_catalog", scope{"registry:catalog:*"}, after, n, registry.ValidName)
		if err != nil {
			return registry.Page{}, err
		}
		for _, name := range theirs.Names {
			if !wanted(name) {
				continue
			}
			if len(page.Names) == q.N {
				page.More = true
				return page, nil
			}
			page.Names = append(page.Names, name)
		}
		if !theirs.More || len(theirs.Names) == 0 {
			return page, nil
		}
		if len(page.Names) == q.N && n == q.N {
			page.More = true
			return page, nil
		}
		after = theirs.Names[len(theirs.Names)-1]
	}
}

// names reads a page of a list of names. It asks for one more than it wants, because many registries do not say
// whether there are more.
func (r *Registry) names(ctx context.Context, path string, s scope, after string, n int, valid func(string) bool) (registry.Page, error) {
	ask := min(max(n, 0)+1, maxPage)
	query := url.Values{"n": {strconv.Itoa(ask)}}
	if after != "" {
		query.Set("last", after)
	}
	data, resp, err := r.fetch(ctx, &call{method: http.MethodGet, path: path, query: query, scope: s, repeat: always,
		unknown: registry.CodeNameUnknown, invalid: registry.CodeQueryInvalid}, maxList)
	if err != nil {
		return registry.Page{}, err
	}
	var answer struct {
		Tags         []string `json:"tags"`
		Repositories []string `json:"repositories"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return registry.Page{}, refusal(registry.CodeUnavailable, "%s answers with a list that cannot be read.", r.Host())
	}
	all := append(answer.Tags, answer.Repositories...)
	if i := slices.Index(all, after); after != "" && i >= 0 {
		all = all[i+1:] // it does not know "last", and began at the start again
	}
	page := registry.Page{Names: all, More: nextQuery(resp) != ""}
	if len(all) > max(n, 0) {
		page.Names, page.More = all[:max(n, 0)], n > 0
	}
	page.Names = slices.DeleteFunc(page.Names, func(name string) bool { return !valid(name) })
	return page, nil
}
