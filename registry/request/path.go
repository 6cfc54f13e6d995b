package request

import (
	"net/url"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// shortPrefix is put in front of a name without a project, as docker does for its own hub.
const shortPrefix = "library/"

// maxUploadID bounds what is looked up as an upload's id, in bytes.
const maxUploadID = 128

// path is a canonical path, cut to pieces. name and last are not checked yet.
type path struct {
	endpoint Endpoint
	name     string
	last     string // tag, digest or upload id
}

// splitPath finds the endpoint by the last segments of the path, because the repository in front of them may consist of
// any words, "manifests" included.
func splitPath(u *url.URL) (path, bool) {
	if u.RawPath != "" || u.Opaque != "" || u.Scheme != "" || u.Host != "" || u.User != nil || !canonical(u.Path) {
		return path{}, false
	}
	if u.Path == "/v2" {
		return path{endpoint: endpointPing}, true
	}
	rest, ok := strings.CutPrefix(u.Path, "/v2/")
	if !ok {
		return path{}, false
	}
	switch rest {
	case "":
		return path{endpoint: endpointPing}, true
	case "_catalog":
		return path{endpoint: endpointCatalog}, true
	}
	head, last, ok := cutLast(rest)
	if !ok {
		return path{}, false
	}
	name, word, ok := cutLast(head)
	if !ok {
		return path{}, false
	}
	return match(name, word, last)
}

// match reads <name>/<word>/<last>.
func match(name, word, last string) (path, bool) {
	p := path{name: name, last: last}
	switch word {
	case "manifests":
		p.endpoint = endpointManifest
	case "blobs":
		p.endpoint = endpointBlob
		if last == "uploads" {
			return path{}, false // the slash at the end is missing
		}
	case "referrers":
		p.endpoint = endpointReferrers
	case "tags":
		p.endpoint = endpointTags
		if last != "list" {
			return path{}, false
		}
	case "uploads":
		head, blobs, ok := cutLast(name)
		if !ok || blobs != "blobs" {
			return path{}, false
		}
		p.name, p.endpoint = head, endpointUpload
		if last == "" {
			p.endpoint = endpointUploads
		}
		return p, true
	}
	return p, p.endpoint != 0 && last != ""
}

// cutLast cuts s at its last slash; there must be one with something in front of it.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i <= 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// canonical says whether a path has only bytes that occur in canonical paths, and no segment that a file system or
// proxy might resolve: no "//", no "." and no ".." for one.
func canonical(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c != '/' {
			if !pathByte(c) {
				return false
			}
			continue
		}
		rest := p[i+1:]
		if rest == "" {
			break
		}
		if rest[0] == '/' || dots(rest) {
			return false
		}
	}
	return true
}

// dots says whether the first segment of s is "." or "..".
func dots(s string) bool {
	if s[0] != '.' {
		return false
	}
	s = s[1:]
	return s == "" || s[0] == '/' || s[0] == '.' && (len(s) == 1 || s[1] == '/')
}

func pathByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == ':'
}

// setPath checks the pieces of the path.
func (r *Request) setPath(p path) (err *registry.Error) {
	if p.endpoint == endpointPing || p.endpoint == endpointCatalog {
		return nil
	}
	if r.Repository, err = wholeName(p.name); err != nil {
		return err
	}
	switch p.endpoint {
	case endpointManifest:
		return r.setReference(p.last)
	case endpointBlob, endpointReferrers:
		r.Digest, err = parseDigest(p.last)
		return err
	case endpointUpload:
		if !validUploadID(p.last) {
			return registry.NewError(registry.CodeBlobUploadUnknown, "There is no such upload. Start a new one.")
		}
		r.UploadID = p.last
	}
	return nil
}

func (r *Request) setReference(s string) *registry.Error {
	if strings.IndexByte(s, ':') >= 0 {
		d, err := parseDigest(s)
		r.Ref.Digest = d
		return err
	}
	if !registry.ValidTag(s) {
		return errTag()
	}
	r.Ref.Tag = s
	return nil
}

func errTag() *registry.Error {
	return registry.NewError(registry.CodeTagInvalid, "A tag consists of at most 128 letters, digits, \"_\", \".\" and "+
		"\"-\", and does not begin with \".\" or \"-\".")
}

// wholeName puts "library/" in front of a short name and checks the whole.
func wholeName(name string) (string, *registry.Error) {
	if strings.IndexByte(name, '/') < 0 {
		name = shortPrefix + name
	}
	if !registry.ValidName(name) {
		return "", registry.NewError(registry.CodeNameInvalid, "A repository name consists of lower-case letters and "+
			"digits, with single \".\", \"_\", \"__\" or \"-\" between them and \"/\" between components, and has at most "+
			"255 characters.")
	}
	return name, nil
}

// validUploadID takes letters, digits, "-" and "_": whatever an implementation makes of random bytes.
func validUploadID(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '.' || c == ':' {
			return false
		}
	}
	return s != "" && len(s) <= maxUploadID // splitPath has seen to all other bytes
}
