package registrytest

import (
	"context"
	"fmt"
	"testing"

	"github.com/hallmarkhub/hallmark/registry"
)

// Subject is what the suite runs on.
type Subject struct {
	// Open returns a registry in which nothing has been pushed and in which both projects exist. It is called a
	// few times per Run; whatever has to be closed is registered with t.Cleanup.
	Open func(t *testing.T) registry.Registry

	// Ctx makes a context in which principal acts. Two principals are used, "alice" and "bob"; both may do
	// everything in both projects. Nil: contexts carry no principal (see Allows.AnyPrincipal).
	Ctx func(ctx context.Context, principal string) context.Context

	// Repository and Other are prefixes of repository names in two projects. Empty: "p1/app" and "p2/other".
	Repository, Other string

	Refuses Refusals
	Allows  Leniencies

	// Seeds of the random sequences; nil takes the fixed list. One operation of a sequence is a few requests.
	Seeds []uint64
}

// Refusals are documented refusals: the code that is answered where the contract wants success. The zero value is an
// implementation that keeps the whole contract.
type Refusals struct {
	// SHA512: finishing an upload with, and putting a manifest by, a sha512 digest.
	SHA512 registry.Code
	// AutomaticMount: mounting without naming a source repository, although Allowed would admit one.
	AutomaticMount registry.Code
	// ForeignLayers: a manifest whose foreign (non-distributable) layers are not in the registry.
	ForeignLayers registry.Code
	// UntaggedTags: listing the tags of a repository that has manifests and never had a tag.
	UntaggedTags registry.Code
	// IndexWithSubject: an image index that has a subject.
	IndexWithSubject registry.Code
	// IndexOfBlobs: an image index whose entries are no manifests.
	IndexOfBlobs registry.Code
}

// Leniencies are documented cases in which an implementation does what the contract says is refused, or leaves open
// what the contract orders.
type Leniencies struct {
	// BlobInUse: a blob can be deleted although a manifest of the repository refers to it.
	BlobInUse bool
	// AnyPrincipal: an upload can be continued by anybody who knows its id and repository.
	AnyPrincipal bool
	// RepositoryOrder: repositories are listed completely and once each, but not in byte order.
	RepositoryOrder bool
	// Unlisted: repositories are in no list.
	Unlisted bool
	// UnknownRepositoryPages: a further page of the tags of an unknown repository is empty, not refused.
	UnknownRepositoryPages bool
	// AmbiguousManifests: JSON that two parsers read differently (V-29) is accepted.
	AmbiguousManifests bool
}

// Run runs the contract on s.
func Run(t *testing.T, s Subject) {
	t.Helper()
	if s.Repository == "" {
		s.Repository = "p1/app"
	}
	if s.Other == "" {
		s.Other = "p2/other"
	}
	if s.Seeds == nil {
		s.Seeds = []uint64{1, 2, 3, 5, 8, 13}
	}
	// One registry for all: each test has repositories and content of its own, and a registry that has been used
	// is the more realistic one. Tests that list repositories open their own.
	shared := s.Open(t)
	number := 0
	for _, noun := range nouns() {
		t.Run(noun.name, func(t *testing.T) {
			for _, test := range noun.tests {
				number++
				f := s.fixture(shared, number)
				t.Run(test.name, func(t *testing.T) {
					f.bind(t)
					test.run(f)
				})
			}
		})
	}
	t.Run("random sequences", func(t *testing.T) { random(t, s, shared) })
}

// noun groups tests; test is a sentence and its proof.
type noun struct {
	name  string
	tests []test
}

type test struct {
	name string
	run  func(f *fixture)
}

func nouns() []noun {
	return []noun{
		{"manifests", manifestTests()},
		{"refused manifests", refusedManifestTests()},
		{"tags", tagTests()},
		{"blobs", blobTests()},
		{"uploads", uploadTests()},
		{"upload sessions", sessionTests()},
		{"concurrent pushes", concurrentTests()},
		{"mounts", mountTests()},
		{"referrers", referrerTests()},
		{"fallback tags", fallbackTests()},
		{"deletes", deleteTests()},
		{"lists", listTests()},
		{"names", nameTests()},
		{"contexts", contextTests()},
	}
}

// fixture is one test's view: a registry, a context in which alice acts, and two repositories nobody else uses.
type fixture struct {
	*testing.T
	s     Subject
	r     registry.Registry
	ctx   context.Context
	repo  string // in the first project
	other string // in the second
	label string // goes into all content, so that no two tests share a blob
}

func (s Subject) fixture(r registry.Registry, number int) *fixture {
	return &fixture{
		s: s, r: r,
		repo:  fmt.Sprintf("%s/t%d", s.Repository, number),
		other: fmt.Sprintf("%s/t%d", s.Other, number),
		label: fmt.Sprintf("test %d", number),
	}
}

func (f *fixture) bind(t *testing.T) {
	f.T = t
	f.ctx = f.as("alice")
}

// as returns a context in which principal acts; it ends with the test.
func (f *fixture) as(principal string) context.Context {
	if f.s.Ctx == nil {
		return f.Context()
	}
	return f.s.Ctx(f.Context(), principal)
}
