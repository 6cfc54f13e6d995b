package pages

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api/spec"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/web"
)

//go:embed docs.html home.html verdict.html style.css
var files embed.FS

// Stand-ins in the rendered page for what differs from request to request.
const (
	nonceMark = "NONCE-OF-THIS-ANSWER"
	hostMark  = "HUB-OF-THIS-REQUEST"
)

// Docs is the documentation of an API.
type Docs struct {
	proxies  *auth.Proxies
	rendered []byte
}

// Who says in a sentence who may do an operation; "" if that is not to be said.
type Who func(operationID string) string

type docsPage struct {
	*spec.Document
	Groups  []docsGroup
	Schemas []*spec.Schema
	Codes   []docsCode
	Style   template.CSS
}

type docsGroup struct {
	spec.Tag
	Operations []docsOperation
}

type docsOperation struct {
	*spec.Operation
	Who  string
	Curl string
}

type docsCode struct {
	Code   core.ErrorCode
	Status int
	Text   string
}

// NewDocs renders the page, once.
func NewDocs(d *spec.Document, who Who, p *auth.Proxies) (*Docs, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, err
	}
	page := docsPage{Document: d, Style: template.CSS(style), Codes: codes(), Schemas: d.Named()}
	for _, tag := range d.Tags {
		g := docsGroup{Tag: tag}
		for _, o := range d.Operations {
			if o.Tag == tag.Name {
				g.Operations = append(g.Operations, docsOperation{Operation: o, Who: who(o.ID), Curl: curl(d, o)})
			}
		}
		page.Groups = append(page.Groups, g)
	}
	t, err := template.New("docs.html").Funcs(template.FuncMap{"prose": prose, "limits": limits, "kind": kind, "lower": strings.ToLower,
		"nonce": func() string { return nonceMark }}).ParseFS(files, "docs.html")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, page); err != nil {
		return nil, err
	}
	return &Docs{proxies: p, rendered: out.Bytes()}, nil
}

// ServeHTTP answers with the page.
func (d *Docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page := bytes.ReplaceAll(d.rendered, []byte(hostMark), []byte(template.HTMLEscapeString(d.proxies.Base(r))))
	write(w, page)
}

// write sends a page with the policy that its style element needs.
func write(w http.ResponseWriter, page []byte) { writeStatus(w, http.StatusOK, page) }

func writeStatus(w http.ResponseWriter, status int, page []byte) {
	nonce := web.PagePolicy(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(bytes.ReplaceAll(page, []byte(nonceMark), []byte(nonce)))
}

// prose renders the little Markdown that descriptions use: paragraphs, `code` and **bold**.
func prose(s string) template.HTML {
	if s == "" {
		return ""
	}
	var out strings.Builder
	for _, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		out.WriteString("<p>" + inline(paragraph) + "</p>")
	}
	return template.HTML(out.String()) // escaped by inline
}

func inline(s string) string {
	s = template.HTMLEscapeString(s)
	s = regexp.MustCompile("`([^`]+)`").ReplaceAllString(s, "<code>$1</code>")
	return regexp.MustCompile(`\*\*([^*]+)\*\*`).ReplaceAllString(s, "<strong>$1</strong>")
}

// codes are the stable codes of errors, as a person reads them.
func codes() []docsCode {
	list := []docsCode{
		{Code: core.CodeInvalid, Text: "The request is not well-formed, or a field or parameter is not acceptable; `errors` names each."},
		{Code: core.CodeUnauthenticated, Text: "There is no credential, or it is not valid (any more)."},
		{Code: core.CodeReauthenticate, Text: "The session is valid, but the password must have been given within the last five minutes: `PUT /sessions/current/verification`."},
		{Code: core.CodeForbidden, Text: "You see it but may not do this; `detail` says which role may."},
		{Code: core.CodeNotFound, Text: "It is not there, or you may not know of it."},
		{Code: core.CodeNotAllowed, Text: "The path is right, the method is not; `Allow` lists those there are."},
		{Code: core.CodeConflict, Text: "It exists already, is still in use, or is in a state that does not allow this."},
		{Code: core.CodeStale, Text: "It has been changed since you read it: read it again and repeat the change."},
		{Code: core.CodeTooLarge, Text: "The body is too large."},
		{Code: core.CodeMediaType, Text: "The body is not JSON by its `Content-Type`."},
		{Code: core.CodeLimit, Text: "A limit of the hub would be passed."},
		{Code: core.CodeIfMatchRequired, Text: "Send the `ETag` of your last read as `If-Match`."},
		{Code: core.CodeTooMany, Text: "Too much at once or too many failed log-ins; `Retry-After` says when to try again."},
		{Code: core.CodeInternal, Text: "A fault of the hub. Its log has the reason under `request_id`."},
		{Code: core.CodeUnavailable, Text: "Something the hub needs is away; `Retry-After` says when to try again."},
	}
	for i := range list {
		list[i].Status = web.Status(list[i].Code)
	}
	return list
}
