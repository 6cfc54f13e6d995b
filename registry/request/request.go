package request

import (
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// Kind is what a request asks for. The end-numbers are those of the OCI distribution specification, "Endpoints".
type Kind uint8

// The kinds. HEAD is asked for by the same kind as GET. The zero value is no request.
const (
	Ping           Kind = iota + 1 // end-1: is this a registry, and who am I
	Catalog                        // Docker's list of repositories
	TagList                        // end-8
	ManifestGet                    // end-3
	ManifestPut                    // end-7
	ManifestDelete                 // end-9
	BlobGet                        // end-2
	BlobDelete                     // end-10
	UploadStart                    // end-4a, 4c
	UploadWhole                    // end-4b: the blob is the body
	UploadMount                    // end-11
	UploadAppend                   // end-5
	UploadFinish                   // end-6
	UploadStatus                   // end-13
	UploadCancel                   // end-14
	Referrers                      // end-12
)

// Request is a parsed request. Which fields are set depends on Kind; all that are set are valid.
type Request struct {
	Kind Kind
	// Endpoint is set even if Parse refused the request, as long as its path exists: Endpoint.Allow says what
	// methods would have done.
	Endpoint Endpoint

	// Repository is the whole name: "library/" is in front of a short one.
	Repository string
	Ref        registry.Reference // of manifests
	Digest     digest.Digest      // of a blob; of the subject of Referrers; ?digest= of uploads
	UploadID   string

	Mount     digest.Digest    // UploadMount
	From      string           // UploadMount: whole name, "" if it was not said
	Algorithm digest.Algorithm // UploadStart: ?digest-algorithm=, "" if it was not said
	Tags      []string         // ManifestPut by digest: ?tag=, each once

	N            int    // of lists: how many at most; 0 is an empty list
	Last         string // of lists: what the page before ended with; opaque for Referrers
	ArtifactType string // Referrers
}

// Limits are the numbers of a request that a hub may set. A field that is 0 or less has the value of DefaultLimits.
type Limits struct {
	Page          int // n of tag lists and catalog if the client does not say
	MaxPage       int // above it n is this
	PageReferrers int // the same for referrers, if the client does not say and at most
	Tags          int // tags in one push
}

// DefaultLimits are the limits of a hub that does not set its own.
func DefaultLimits() Limits { return Limits{Page: 100, MaxPage: 1000, PageReferrers: 200, Tags: 32} }

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Page <= 0 {
		l.Page = d.Page
	}
	if l.MaxPage <= 0 {
		l.MaxPage = d.MaxPage
	}
	if l.PageReferrers <= 0 {
		l.PageReferrers = d.PageReferrers
	}
	if l.Tags <= 0 {
		l.Tags = d.Tags
	}
	l.Page = min(l.Page, l.MaxPage)
	return l
}

// Parse reads method and URL. It does not allocate for a GET or HEAD of a manifest or blob whose repository is named
// whole.
//
// It decides on the path as it was sent: what is not the canonical spelling of an endpoint (percent-encoding, "//", "/./",
// "..", ";", a slash too many or too few, a URL with a host) is not found, and never taken for another path. Who may do
// what is decided on the Request, so there is one decision for each endpoint.
//
// Errors: CodeNameUnknown for a path that does not exist, CodeNameInvalid, CodeTagInvalid, CodeDigestInvalid,
// CodeBlobUploadUnknown, CodeQueryInvalid, and CodeUnsupported for a method that Endpoint.Allow does not have.
func Parse(method string, u *url.URL, lim Limits) (Request, *registry.Error) {
	var r Request
	p, ok := splitPath(u)
	if !ok {
		return r, registry.NewError(registry.CodeNameUnknown, "There is no such path in the registry API.")
	}
	r.Endpoint = p.endpoint
	if r.Kind = p.endpoint.kind(method); r.Kind == 0 {
		return r, registry.NewError(registry.CodeUnsupported, "This path does not take that method. Use one of "+
			p.endpoint.Allow()+".")
	}
	if err := r.setPath(p); err != nil {
		r.Kind = 0
		return r, err
	}
	if err := r.setQuery(u.RawQuery, lim); err != nil {
		r.Kind = 0
		return r, err
	}
	return r, nil
}

// Endpoint is a path of the API without regard to method.
type Endpoint uint8

const (
	endpointPing Endpoint = iota + 1
	endpointCatalog
	endpointTags
	endpointManifest
	endpointBlob
	endpointUploads
	endpointUpload
	endpointReferrers
)

// Allow returns the methods of the endpoint, as the header Allow has them.
func (e Endpoint) Allow() string {
	switch e {
	case endpointManifest:
		return "GET, HEAD, PUT, DELETE"
	case endpointBlob:
		return "GET, HEAD, DELETE"
	case endpointUploads:
		return "POST"
	case endpointUpload:
		return "GET, HEAD, PATCH, PUT, DELETE"
	}
	return "GET, HEAD"
}

// kind returns what the method asks for there, 0 if the endpoint does not take it.
func (e Endpoint) kind(method string) Kind {
	switch method {
	case http.MethodGet, http.MethodHead:
		return e.reads()
	case http.MethodPut:
		switch e {
		case endpointManifest:
			return ManifestPut
		case endpointUpload:
			return UploadFinish
		}
	case http.MethodDelete:
		switch e {
		case endpointManifest:
			return ManifestDelete
		case endpointBlob:
			return BlobDelete
		case endpointUpload:
			return UploadCancel
		}
	case http.MethodPost:
		if e == endpointUploads {
			return UploadStart // setQuery makes it UploadWhole or UploadMount
		}
	case http.MethodPatch:
		if e == endpointUpload {
			return UploadAppend
		}
	}
	return 0
}

func (e Endpoint) reads() Kind {
	switch e {
	case endpointPing:
		return Ping
	case endpointCatalog:
		return Catalog
	case endpointTags:
		return TagList
	case endpointManifest:
		return ManifestGet
	case endpointBlob:
		return BlobGet
	case endpointUpload:
		return UploadStatus
	case endpointReferrers:
		return Referrers
	}
	return 0
}

// Scope says what a token would have to allow for the request, in the notation of Docker's token protocol, e.g.
// "repository:p/app:pull". It is "" for Ping and for what could not be parsed so far.
func (r *Request) Scope() string {
	switch {
	case r.Kind == Catalog:
		return "registry:catalog:*"
	case r.Repository == "":
		return ""
	}
	actions := "pull"
	switch r.Kind {
	case ManifestPut, UploadStart, UploadWhole, UploadMount, UploadAppend, UploadFinish, UploadStatus, UploadCancel:
		actions = "pull,push"
	case ManifestDelete, BlobDelete:
		actions = "delete"
	}
	return "repository:" + r.Repository + ":" + actions
}
