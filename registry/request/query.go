package request

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// maxText bounds parameters of free text (an artifact type, a cursor), in bytes.
const maxText = 1024

// setQuery reads the parameters that the kind has; others are ignored, containerd's "ns" among them.
func (r *Request) setQuery(raw string, lim Limits) *registry.Error {
	lim = lim.orDefault()
	switch r.Kind {
	case TagList, Catalog:
		r.N = lim.Page
		return r.setList(raw, lim.MaxPage)
	case Referrers:
		r.N = lim.PageReferrers
		return r.setList(raw, lim.PageReferrers)
	case ManifestPut:
		return r.setTags(raw, lim.Tags)
	case UploadStart:
		return r.setStart(raw)
	case UploadFinish:
		return r.setFinish(raw)
	}
	return nil
}

func errQuery(message string) *registry.Error {
	return registry.NewError(registry.CodeQueryInvalid, message)
}

// params calls f for each parameter of a query. It is an error if the query is not well-formed, or if one that is not
// among many comes twice: two programs would take different ones.
func params(raw string, many string, f func(key, value string) *registry.Error) *registry.Error {
	var seen []string
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil || strings.Contains(pair, ";") {
			return errQuery("The query is not well-formed. Percent-encode what is not a letter or digit.")
		}
		if key == many {
			if err := f(key, value); err != nil {
				return err
			}
			continue
		}
		if !known(key) {
			continue
		}
		if slices.Contains(seen, key) {
			return errQuery("A parameter of the query is there twice. Send it once.")
		}
		seen = append(seen, key)
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func known(key string) bool {
	switch key {
	case "n", "last", "artifactType", "digest", "digest-algorithm", "mount", "from":
		return true
	}
	return false
}

func (r *Request) setList(raw string, most int) *registry.Error {
	return params(raw, "", func(key, value string) (err *registry.Error) {
		switch key {
		case "n":
			r.N, err = number(value, most)
		case "last":
			err = r.setLast(value)
		case "artifactType":
			if r.Kind == Referrers {
				err = r.setArtifactType(value)
			}
		}
		return err
	})
}

// number reads n: digits only, what is above most is most, what does not fit into 63 bits is an error.
func number(s string, most int) (int, *registry.Error) {
	n, err := strconv.ParseUint(s, 10, 63) // takes no sign
	if err != nil {
		return 0, errQuery("The parameter n must be a number of entries, 0 or more.")
	}
	return int(min(n, uint64(most))), nil
}

// setLast takes what a list may have ended with; "" is the beginning.
func (r *Request) setLast(s string) *registry.Error {
	ok := s == ""
	switch r.Kind {
	case TagList:
		ok = ok || registry.ValidTag(s)
	case Catalog:
		ok = ok || registry.ValidName(s)
	default:
		ok = ok || printable(s)
	}
	if !ok {
		return errQuery("The parameter last must be the last entry of the page before. Follow the Link header.")
	}
	r.Last = s
	return nil
}

func (r *Request) setArtifactType(s string) *registry.Error {
	if !printable(s) {
		return errQuery("The parameter artifactType must be a media type.")
	}
	r.ArtifactType = s
	return nil
}

// printable says whether s has only printable ASCII, and not too much of it.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxText
}

// setTags reads ?tag= (OCI distribution specification, "Pushing Manifests", end-7b), which goes with a push by digest.
func (r *Request) setTags(raw string, most int) *registry.Error {
	return params(raw, "tag", func(key, value string) *registry.Error {
		switch {
		case key != "tag" || slices.Contains(r.Tags, value):
			return nil
		case r.Ref.Digest == "":
			return errQuery("The parameter tag goes with a push by digest. Push by digest, or tag by tag.")
		case !registry.ValidTag(value):
			return errTag()
		case len(r.Tags) == most:
			return errQuery("There are more than " + strconv.Itoa(most) + " tags, which is the limit of one push. Push " +
				"again for the rest.")
		}
		r.Tags = append(r.Tags, value)
		return nil
	})
}

// setStart reads the parameters of POST and finds out which of three requests it is. A mount comes first, because all that
// a client loses when it is not taken for one is time.
func (r *Request) setStart(raw string) *registry.Error {
	err := params(raw, "", func(key, value string) (err *registry.Error) {
		switch key {
		case "mount":
			r.Mount, err = parseDigest(value)
		case "from":
			if value != "" {
				r.From, err = wholeName(value)
			}
		case "digest":
			r.Digest, err = parseDigest(value)
		case "digest-algorithm":
			r.Algorithm = digest.Algorithm(value)
			if !registry.ValidAlgorithm(r.Algorithm) {
				err = registry.NewError(registry.CodeDigestInvalid, "This digest algorithm is not supported. Use sha256 "+
					"or sha512.")
			}
		}
		return err
	})
	switch {
	case r.Mount != "":
		r.Kind = UploadMount
	case r.Digest != "":
		r.Kind = UploadWhole
	}
	return err
}

func (r *Request) setFinish(raw string) *registry.Error {
	err := params(raw, "", func(key, value string) (err *registry.Error) {
		if key == "digest" {
			r.Digest, err = parseDigest(value)
		}
		return err
	})
	if err == nil && r.Digest == "" {
		return registry.NewError(registry.CodeDigestInvalid, "The parameter digest is missing. Say what digest the whole "+
			"blob has.")
	}
	return err
}

// parseDigest is registry.ParseDigest with the type of error that Parse returns.
func parseDigest(s string) (digest.Digest, *registry.Error) {
	d, err := registry.ParseDigest(s)
	if err == nil {
		return d, nil
	}
	var e *registry.Error
	errors.As(err, &e) // it always is one
	return "", e
}
