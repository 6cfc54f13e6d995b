package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/api/spec"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/web"
)

// call is one admitted request: what guard found out, so that a handler acts on the very project and standing that the
// decision was made on, and not on what has the same name a moment later.
type call struct {
	op         *spec.Operation
	principal  *core.Principal
	standing   store.Standing
	repository string // whole name
	request    *http.Request
	who        identify
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// project is the project of the path. guard has made sure that it is there.
func (c *call) project() *core.Project { return c.standing.Project }

// can says whether the principal may do a further action in the project of the path.
func (c *call) can(a core.Action) bool { return access.Stands(c.principal, a, "", c.standing) }

// canOn is can for an action on the content of a repository of the project.
func (c *call) canOn(a core.Action, repository string) bool {
	return access.Stands(c.principal, a, repository, c.standing)
}

// etag is the ETag of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// ifMatch is the revision an If-Match header asks for: 0 if there is none, store.AnyRevision for "*".
func ifMatch(header *string) (int64, error) {
	if header == nil {
		return 0, nil
	}
	v := strings.TrimSpace(*header)
	if v == "*" {
		return store.AnyRevision, nil
	}
	if strings.HasPrefix(v, "W/") {
		return 0, core.Errorf(core.CodeStale, "If-Match compares exactly, and a weak tag (W/) never matches: send the ETag as it came")
	}
	quoted := len(v) > 2 && v[0] == '"' && v[len(v)-1] == '"'
	if !quoted {
		return 0, core.Invalid("If-Match", "If-Match must be one ETag as it came, with its quotes, or *")
	}
	n, err := strconv.ParseInt(v[1:len(v)-1], 10, 64)
	if err != nil || n <= 0 {
		return 0, core.Errorf(core.CodeStale, "this ETag is none of the current ones: read the resource again, then repeat your change")
	}
	return n, nil
}

// mustMatch is ifMatch where something that exists is changed.
func mustMatch(header *string) (int64, error) {
	if header == nil {
		return 0, core.Errorf(core.CodeIfMatchRequired, "send the ETag of your last read as If-Match, so that nobody's change is lost; * takes whatever is there")
	}
	return ifMatch(header)
}

// position is where a page begins: the cursor's parts, and how many items it may have.
type position struct {
	after []string
	n     int
}

// maxPage is how many items a page has at most; audit exports have their own.
const (
	defaultPage = 50
	maxPage     = 200
)

func (a *API) position(c *call, limit *int64, cursor *string, parts int) (position, error) {
	n := int64(defaultPage)
	if limit != nil {
		n = min(*limit, maxPage)
	}
	text := ""
	if cursor != nil {
		text = *cursor
	}
	after, err := a.cursors.Open(web.CursorScope(c.request, c.principal), text, parts)
	return position{after: after, n: int(n)}, err
}

// next is the Link header to the page after the item at these parts of a cursor, nil if there is none.
func (a *API) next(c *call, more bool, parts ...string) *string {
	if !more {
		return nil
	}
	link := web.NextLink(c.request, a.cursors.Seal(web.CursorScope(c.request, c.principal), parts...))
	return &link
}

// list reads one page of a list that is in order of one text, and turns its items into what is answered.
func list[T, R any](ctx context.Context, a *API, limit *int64, cursor *string, read func(after string, n int) ([]T, bool, error),
	key func(T) string, show func(T) R) ([]R, *string, error) {
	return listOf(ctx, a, limit, cursor, read, key, func(T) bool { return true }, show)
}

// listOf is list of the items that are to be kept. A page of the store is thinned out by it: it reads on until its own is
// full, for as long as somebody waits for it.
func listOf[T, R any](ctx context.Context, a *API, limit *int64, cursor *string, read func(after string, n int) ([]T, bool, error),
	key func(T) string, keep func(T) bool, show func(T) R) ([]R, *string, error) {
	c := callOf(ctx)
	at, err := a.position(c, limit, cursor, 1)
	if err != nil {
		return nil, nil, err
	}
	out, more, last := []R{}, at.n > 0, at.after[0]
	for more && len(out) < at.n {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		var found []T
		if found, more, err = read(last, at.n); err != nil {
			return nil, nil, err
		}
		for _, item := range found {
			if len(out) == at.n {
				more = true
				break
			}
			last = key(item)
			if keep(item) {
				out = append(out, show(item))
			}
		}
	}
	return out, a.next(c, more, last), nil
}

// text is the value of an optional parameter.
func text[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}

// isTrue is the value of an optional flag.
func isTrue(p *bool) bool { return p != nil && *p }

// optional is p, or nil where it says nothing.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
