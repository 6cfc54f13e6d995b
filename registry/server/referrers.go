package server

import (
	"maps"
	"net/url"
	"slices"
	"strconv"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

const (
	referrersBegin = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[`
	referrersEnd   = "]}\n"
)

// referrers answers a page of the manifests that refer to another one (OCI distribution specification, "Listing
// Referrers").
func (c *call) referrers() error {
	buf := c.s.buffers.Get().(*[]byte)
	defer c.s.buffers.Put(buf)
	b, next, err := c.referrerPage((*buf)[:0])
	if err != nil {
		return err
	}
	*buf = b
	more := ""
	if c.q.ArtifactType != "" {
		c.w.Header()["Oci-Filters-Applied"] = []string{"artifactType"}
		more = "&artifactType=" + url.QueryEscape(c.q.ArtifactType)
	}
	if next != "" {
		c.link("/v2/"+c.q.Repository+"/referrers/"+string(c.q.Digest), url.QueryEscape(next), more)
	}
	return c.writeJSON(ocispec.MediaTypeImageIndex, b)
}

// referrerPage appends the JSON of a page to b and returns the cursor of the next. If the page would be too large it is
// asked for again with as many entries as fit, because only the registry can say where that one ends.
func (c *call) referrerPage(b []byte) ([]byte, string, error) {
	begin := len(b)
	for n := max(c.q.N, 1); ; {
		page, err := c.s.reg.Referrers(c.ctx, c.q.Repository, c.q.Digest, registry.ReferrerQuery{
			ArtifactType: c.q.ArtifactType, After: c.q.Last, N: n,
		})
		// "MUST NOT return a 404 Not Found": what is not there has no referrers.
		if err != nil && registry.CodeOf(err) != registry.CodeNameUnknown {
			return nil, "", err
		}
		if c.q.N == 0 {
			page = registry.ReferrerPage{}
		}
		var fit int
		b, fit = appendReferrers(b[:begin], page.Manifests, c.s.lim.ReferrerBytes)
		if fit == len(page.Manifests) {
			return b, page.Next, nil
		}
		n = fit
	}
}

// appendReferrers appends an index, and returns how many of the descriptors fit into most bytes: at least one.
func appendReferrers(b []byte, all []ocispec.Descriptor, most int) ([]byte, int) {
	begin := len(b)
	b = append(b, referrersBegin...)
	for i := range all {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = appendReferrer(b, &all[i])
		if i > 0 && len(b)-begin+len(referrersEnd) > most {
			return append(b[:before], referrersEnd...), i
		}
	}
	return append(b, referrersEnd...), len(all)
}

// appendReferrer appends what the specification wants in a referrer's descriptor, in a fixed order.
func appendReferrer(b []byte, d *ocispec.Descriptor) []byte {
	b = append(b, `{"mediaType":`...)
	b = appendText(b, d.MediaType)
	b = append(b, `,"digest":`...)
	b = appendText(b, string(d.Digest))
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, d.Size, 10)
	if d.ArtifactType != "" {
		b = append(b, `,"artifactType":`...)
		b = appendText(b, d.ArtifactType)
	}
	if len(d.Annotations) > 0 {
		b = append(b, `,"annotations":{`...)
		for i, key := range slices.Sorted(maps.Keys(d.Annotations)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, key)
			b = append(b, ':')
			b = appendText(b, d.Annotations[key])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
