package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// getManifest answers GET and HEAD. It serves the stored type whatever Accept says: a converted manifest would have
// another digest, and be signed by nobody.
//
// The manifest may be what a push is about to refer to, so it is kept; for those who may not push the access wrapper
// takes that back.
func (c *call) getManifest() error {
	m, err := c.s.reg.Manifest(c.ctx, c.q.Repository, c.q.Ref, true)
	if err != nil {
		return err
	}
	// One backing array for all values, and one string for the two that have to be made: this is the hottest path.
	var scratch [160]byte
	b := append(scratch[:0], '"')
	b = append(b, m.Digest...)
	b = append(b, '"')
	etag := len(b)
	b = strconv.AppendInt(b, int64(len(m.Payload)), 10)
	made := string(b)

	v := make([]string, 5)
	v[0], v[1], v[2], v[3], v[4] = string(m.Digest), made[:etag], "nosniff", m.MediaType, made[etag:]
	h := c.w.Header()
	h["Docker-Content-Digest"] = v[0:1:1]
	h["Etag"] = v[1:2:2]
	h["X-Content-Type-Options"] = v[2:3:3]
	if len(m.Warnings) > 0 {
		h["Warning"] = warnings(m.Warnings)
	}
	if matches(c.r.Header["If-None-Match"], v[1]) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = v[3:4:4]
	h["Content-Length"] = v[4:5:5]
	if c.r.Method == http.MethodHead {
		return nil
	}
	c.write(m.Payload)
	if c.s.opt.OnPull != nil {
		c.s.opt.OnPull(c.ctx, c.q.Repository, c.q.Ref, m)
	}
	return nil
}

// warningBytes is how long all Warning headers of a response may be together (distribution specification, "Warnings").
const warningBytes = 4096

// warnings puts sentences into the one form that the specification allows. What does not fit is left out.
func warnings(texts []string) []string {
	var out []string
	left := warningBytes
	for _, t := range texts {
		v := `299 - "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(t) + `"`
		if left -= len(v); left < 0 {
			break
		}
		out = append(out, v)
	}
	return out
}

// matches says whether an If-None-Match header (RFC 9110, section 13.1.2) has the tag.
func matches(header []string, etag string) bool {
	for _, line := range header {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

func (c *call) putManifest() error {
	// A manifest is read into memory, so whoever may not push is refused before that.
	if err := c.s.reg.MayPush(c.ctx, c.q.Repository); err != nil {
		return err
	}
	payload, err := c.readManifest()
	if err != nil {
		return err
	}
	put := registry.ManifestPut{
		Digest: c.q.Ref.Digest, MediaType: mediaType(c.r.Header.Get("Content-Type")), Payload: payload, Tags: c.q.Tags,
	}
	if c.q.Ref.Tag != "" {
		put.Tags = []string{c.q.Ref.Tag}
	}
	m, err := c.s.reg.PutManifest(c.ctx, c.q.Repository, put)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if m.Subject != "" {
		h["Oci-Subject"] = []string{string(m.Subject)}
	}
	if len(c.q.Tags) > 0 {
		h["Oci-Tag"] = c.q.Tags
	}
	c.created("/manifests/", m.Digest)
	return nil
}

// created answers 201 for content that is now to be had under the repository's path.
func (c *call) created(under string, d digest.Digest) {
	h := c.w.Header()
	h["Location"] = []string{"/v2/" + c.q.Repository + under + string(d)}
	h["Docker-Content-Digest"] = []string{string(d)}
	c.empty(http.StatusCreated)
}

// empty answers with a status and no body.
func (c *call) empty(status int) {
	h := c.w.Header()
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if status != http.StatusNoContent {
		h["Content-Length"] = []string{"0"}
	}
	c.w.WriteHeader(status)
}

// mediaType is a Content-Type without parameters (OCI distribution specification, "Pushing Manifests": they are ignored).
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// readManifest reads the body, and not a byte if it is known to be too large.
func (c *call) readManifest() ([]byte, error) {
	most := c.s.lim.Manifest
	if c.r.ContentLength > most {
		return nil, errManifestSize(most, fmt.Sprint(c.r.ContentLength))
	}
	tooLarge := errManifestSize(most, "more than "+fmt.Sprint(most))
	body := c.newBody(most, false, tooLarge)
	var payload []byte
	var err error
	if c.r.ContentLength > 0 {
		body = c.newBody(c.r.ContentLength, true, tooLarge)
		// What is announced is believed up to a size that nearly all manifests have; beyond it the bytes have to come first.
		var b bytes.Buffer
		b.Grow(int(min(c.r.ContentLength, 64<<10)) + bytes.MinRead)
		_, err = b.ReadFrom(body)
		payload = b.Bytes()
	} else {
		payload, err = io.ReadAll(body)
	}
	if err != nil {
		return nil, body.blame(err)
	}
	body.done()
	return payload, nil
}

func errManifestSize(most int64, size string) error {
	return registry.NewError(registry.CodeTooLarge, fmt.Sprintf("The manifest has %s bytes; the limit is %d. Move what is "+
		"large in it, such as annotations or embedded data, into a layer.", size, most))
}

func (c *call) deleteManifest() error {
	var err error
	if c.q.Ref.Tag != "" {
		err = c.s.reg.DeleteTag(c.ctx, c.q.Repository, c.q.Ref.Tag)
	} else {
		err = c.s.reg.DeleteManifest(c.ctx, c.q.Repository, c.q.Ref.Digest)
	}
	if err != nil {
		return err
	}
	c.empty(http.StatusAccepted)
	return nil
}
