package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// defaultReferrers is how many referrers a page has if the query does not say.
const defaultReferrers = 100

// Referrers is registry.Lister's: the other side's API if it has one, else the fallback list. It asks again each time
// it meets no API, since registries are upgraded.
func (r *Registry) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	if err := checkDigest(repo, d); err != nil {
		return registry.ReferrerPage{}, err
	}
	if q.N <= 0 {
		q.N = defaultReferrers
	}
	at, err := parseCursor(q.After)
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	page, present, err := r.referrersPage(ctx, repo, d, q, at)
	if err != nil || present {
		return page, err
	}
	list, err := r.fallbackList(ctx, repo, d)
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	list = slices.DeleteFunc(list, func(e ocispec.Descriptor) bool {
		return q.ArtifactType != "" && e.ArtifactType != q.ArtifactType
	})
	// By digest, so that a page goes on at the right place when the list has changed in between.
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	list = slices.CompactFunc(list, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	for len(list) > 0 && string(list[0].Digest) <= at.Last {
		list = list[1:]
	}
	if len(list) <= q.N {
		return registry.ReferrerPage{Manifests: list}, nil
	}
	list = list[:q.N]
	return registry.ReferrerPage{Manifests: list, Next: cursor{Last: string(list[q.N-1].Digest)}.String()}, nil
}

// cursor is what ReferrerPage.Next means to us. Only a query goes into it and never an address: whoever brings it back
// may have changed it.
type cursor struct {
	Query string `json:"q,omitempty"` // of the other side's page
	Skip  int    `json:"s,omitempty"` // entries of that page which were given already
	Last  string `json:"l,omitempty"` // the last digest given, of a fallback list
}

func (c cursor) String() string {
	data, _ := json.Marshal(c) // strings and numbers: it cannot fail
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseCursor(s string) (cursor, error) {
	var c cursor
	if s == "" {
		return c, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Skip < 0 {
		return cursor{}, refusal(registry.CodeQueryInvalid, "The position in the list is not one that was given out.")
	}
	return c, nil
}

// referrersPage asks the other side's API; present says whether there is one.
func (r *Registry) referrersPage(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery, at cursor) (
	page registry.ReferrerPage, present bool, err error) {
	if at.Last != "" {
		return page, false, nil // a list that was begun is ended
	}
	query, err := url.ParseQuery(at.Query)
	if err != nil {
		return page, false, refusal(registry.CodeQueryInvalid, "The position in the list is not one that was given out.")
	}
	query.Set("n", strconv.Itoa(q.N)) // not in the specification, and ignored by those who do not know it
	if q.ArtifactType != "" {
		query.Set("artifactType", q.ArtifactType)
	}
	data, resp, err := r.fetch(ctx, &call{
		method: http.MethodGet, path: "/v2/" + repo + "/referrers/" + d.String(), query: query, scope: pull(repo),
		header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}},
		repeat: always, unknown: registry.CodeManifestUnknown, invalid: registry.CodeQueryInvalid,
	}, maxList)
	switch code := registry.CodeOf(err); {
	case code == registry.CodeManifestUnknown, code == registry.CodeNameUnknown, code == registry.CodeUnsupported,
		err == nil && contentType(resp) != ocispec.MediaTypeImageIndex:
		r.referrers.CompareAndSwap(apiUnknown, apiAbsent)
		return page, false, nil
	case err != nil:
		return page, false, err
	}
	var index ocispec.Index
	if json.Unmarshal(data, &index) != nil {
		return page, false, refusal(registry.CodeUnavailable, "%s answers with a list of referrers that cannot be read.", r.Host())
	}
	r.referrers.Store(apiPresent)
	page = onePage(index.Manifests, q, at, nextQuery(resp), filtered(resp))
	return page, true, nil
}

// onePage cuts a page of ours out of one of theirs, which may be longer.
func onePage(theirs []ocispec.Descriptor, q registry.ReferrerQuery, at cursor, next string, filtered bool) registry.ReferrerPage {
	page := registry.ReferrerPage{}
	i := min(at.Skip, len(theirs))
	for ; i < len(theirs) && len(page.Manifests) < q.N; i++ {
		e := theirs[i]
		if _, err := registry.ParseDigest(e.Digest.String()); err != nil {
			continue // it could not be asked for
		}
		if q.ArtifactType == "" || filtered || e.ArtifactType == q.ArtifactType {
			page.Manifests = append(page.Manifests, e)
		}
	}
	switch {
	case i < len(theirs):
		page.Next = cursor{Query: at.Query, Skip: i}.String()
	case next != "" && next != at.Query:
		page.Next = cursor{Query: next}.String()
	}
	return page
}

// filtered says whether the other side has applied our filter.
func filtered(resp *http.Response) bool {
	for _, line := range resp.Header.Values("OCI-Filters-Applied") {
		for name := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(name) == "artifactType" {
				return true
			}
		}
	}
	return false
}

// nextQuery returns the query of the Link to the next page, "" if there is none. Its host and path are not looked at:
// a next page of anything else is none.
func nextQuery(resp *http.Response) string {
	for _, line := range resp.Header.Values("Link") {
		for link := range strings.SplitSeq(line, ",") {
			address, params, ok := strings.Cut(strings.TrimSpace(link), ">")
			if !ok || !strings.HasPrefix(address, "<") || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
				continue
			}
			if u, err := url.Parse(address[1:]); err == nil {
				return u.RawQuery
			}
		}
	}
	return ""
}
