package server

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hallmarkhub/hallmark/registry"
)

// tags answers a page of a repository's tags (OCI distribution specification, "Listing Tags").
func (c *call) tags() error {
	// With n=0 the registry is asked for one all the same: it has to say whether there is such a repository for them.
	page, err := c.s.reg.Tags(c.ctx, c.q.Repository, c.q.Last, max(c.q.N, 1))
	if err != nil {
		return err
	}
	return c.namePage("/v2/"+c.q.Repository+"/tags/list", page, func(b []byte) []byte {
		b = append(b, `{"name":`...)
		b = appendText(b, c.q.Repository)
		return append(b, `,"tags":[`...)
	})
}

// catalog answers a page of all repositories that the asker may see.
func (c *call) catalog() error {
	page, err := c.s.reg.Repositories(c.ctx, registry.RepositoryQuery{After: c.q.Last, N: max(c.q.N, 1)})
	if err != nil {
		return err
	}
	return c.namePage("/v2/_catalog", page, func(b []byte) []byte { return append(b, `{"repositories":[`...) })
}

// namePage writes a list of names by hand, with what begin puts in front, and the link to the next page.
func (c *call) namePage(path string, page registry.Page, begin func([]byte) []byte) error {
	if c.q.N == 0 {
		page = registry.Page{}
	}
	if page.More && len(page.Names) > 0 {
		c.link(path, url.QueryEscape(page.Names[len(page.Names)-1]), "")
	}
	buf := c.s.buffers.Get().(*[]byte)
	defer c.s.buffers.Put(buf)
	b := begin((*buf)[:0])
	for i, name := range page.Names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
	}
	b = append(b, "]}\n"...)
	*buf = b
	return c.writeJSON("application/json", b)
}

// link sets the header that leads to the next page (RFC 8288). last is already escaped; more is further parameters.
func (c *call) link(path, last, more string) {
	c.w.Header()["Link"] = []string{
		"<" + path + "?n=" + strconv.Itoa(c.q.N) + "&last=" + last + more + `>; rel="next"`,
	}
}

// writeJSON answers 200 with b.
func (c *call) writeJSON(mediaType string, b []byte) error {
	v := []string{mediaType, strconv.Itoa(len(b)), "nosniff"}
	h := c.w.Header()
	h["Content-Type"] = v[0:1:1]
	h["Content-Length"] = v[1:2:2]
	h["X-Content-Type-Options"] = v[2:3:3]
	if c.r.Method != http.MethodHead {
		c.write(b)
	}
	return nil
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error is about invalid UTF-8, which it has replaced
	return b
}
