package registrytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// operations is the length of a random sequence.
const operations = 300

// random runs a sequence of random operations per seed on the registry and on a model of it.
func random(t *testing.T, s Subject, r registry.Registry) {
	for _, seed := range s.Seeds {
		t.Run(fmt.Sprintf("%d operations behave as in the model, seed %d", operations, seed), func(t *testing.T) {
			f := s.fixture(r, 0)
			f.repo = fmt.Sprintf("%s/seed%d", s.Repository, seed)
			f.other = fmt.Sprintf("%s/seed%d", s.Other, seed)
			f.label = fmt.Sprintf("seed %d", seed)
			f.bind(t)
			newPlayer(f, seed).play()
		})
	}
}

// player does the same to a registry and to its model, and compares.
type player struct {
	*fixture
	dice   *rand.Rand
	model  model
	repos  []string
	blobs  [][]byte
	tags   []string
	images []content // any config with any layer of blobs, in the order of needs
	needs  [][]digest.Digest
	open   []*session
	log    []string
}

func newPlayer(f *fixture, seed uint64) *player {
	p := &player{
		fixture: f, dice: rand.New(rand.NewPCG(seed, 0)), model: model{},
		repos: []string{f.repo, f.repo + "/x", f.other}, tags: []string{"1.0", "1.1", "LATEST", "a", "latest"},
	}
	for i := range 5 {
		p.blobs = append(p.blobs, f.bytes(fmt.Sprintf("blob %d", i)))
	}
	for i, config := range p.blobs[:2] {
		for j, layer := range p.blobs {
			c := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}
			l := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer))}
			p.images = append(p.images, f.made(manifestJSON{MediaType: ocispec.MediaTypeImageManifest, Config: &c,
				Layers: []ocispec.Descriptor{l}, Annotations: map[string]string{"n": fmt.Sprint(i, j)}}))
			p.needs = append(p.needs, []digest.Digest{c.Digest, l.Digest})
		}
	}
	return p
}

func (p *player) play() {
	defer func() {
		if p.Failed() {
			p.Logf("the last operations were\n%s", strings.Join(p.log[max(0, len(p.log)-25):], "\n"))
		}
	}()
	steps := []struct {
		weight int
		do     func()
	}{
		{18, p.pushBlobStep}, {8, p.mountStep}, {22, p.pushImageStep}, {7, p.pushIndexStep}, {9, p.deleteTagStep},
		{6, p.deleteManifestStep}, {6, p.deleteBlobStep}, {20, p.sessionStep}, {10, p.compareStep},
	}
	for range operations {
		n := p.dice.IntN(106)
		for _, step := range steps {
			if n -= step.weight; n < 0 {
				step.do()
				break
			}
		}
	}
	for _, repo := range p.repos {
		p.compare(repo)
	}
}

// did compares what the registry said with what the model says: a code, or none.
func (p *player) did(err error, want registry.Code, format string, args ...any) {
	p.Helper()
	what := fmt.Sprintf(format, args...)
	p.log = append(p.log, fmt.Sprintf("%3d %s -> %v", len(p.log), what, registry.CodeOf(err)))
	if registry.CodeOf(err) != want {
		p.Fatalf("%s: %v; the model says %q", what, err, want)
	}
}

func pick[T any](p *player, from []T) T { return from[p.dice.IntN(len(from))] }

func (p *player) pushBlobStep() {
	repo, data := pick(p, p.repos), pick(p, p.blobs)
	err := p.pushBlob(repo, data)
	p.model.repo(repo).blobs[digest.FromBytes(data)] = data
	p.did(err, "", "push blob %.12s to %s", digest.FromBytes(data).Encoded(), repo)
}

func (p *player) mountStep() {
	from, to, data := pick(p, p.repos), pick(p, p.repos), pick(p, p.blobs)
	d := digest.FromBytes(data)
	want := registry.CodeBlobUnknown
	if p.model.repo(from).blobs[d] != nil {
		want = ""
	} else if p.model.repo(to).blobs[d] != nil {
		return // it is there, but not where it is to come from: both answers are fine
	}
	a := &asked{admit: []string{from}}
	_, err := p.r.MountBlob(p.ctx, to, d, registry.MountSource{Repository: from, Allowed: a.allowed})
	if want == "" {
		p.model.repo(to).blobs[d] = data
	}
	p.did(err, want, "mount blob %.12s from %s to %s", d.Encoded(), from, to)
}

func (p *player) pushImageStep() {
	i := p.dice.IntN(len(p.images))
	p.put(pick(p, p.repos), p.images[i], p.needs[i], nil)
}

func (p *player) pushIndexStep() {
	a, b := pick(p, p.images), pick(p, p.images)
	c := p.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		a.platform("linux", "amd64"), b.platform("linux", "arm64")}})
	p.put(pick(p, p.repos), c, nil, []digest.Digest{a.digest(), b.digest()})
}

// put pushes with none, one or two tags.
func (p *player) put(repo string, c content, blobs, children []digest.Digest) {
	var tags []string
	for range p.dice.IntN(3) {
		if name := pick(p, p.tags); !slices.Contains(tags, name) {
			tags = append(tags, name)
		}
	}
	want := p.model.put(repo, c, tags, blobs, children)
	_, err := p.r.PutManifest(p.ctx, repo, c.put(tags...))
	p.did(err, want, "put manifest %.12s to %s with tags %q", c.digest().Encoded(), repo, tags)
}

func (p *player) deleteTagStep() {
	repo, name := pick(p, p.repos), pick(p, p.tags)
	m := p.model.repo(repo)
	want := registry.CodeManifestUnknown
	if _, ok := m.tags[name]; ok {
		want = ""
		delete(m.tags, name)
	} else if !m.existed {
		return // the repository may be unknown as well
	}
	p.did(p.r.DeleteTag(p.ctx, repo, name), want, "delete tag %s of %s", name, repo)
}

func (p *player) deleteManifestStep() {
	repo, c := pick(p, p.repos), pick(p, p.images)
	m := p.model.repo(repo)
	if !m.existed {
		return
	}
	want := m.deleteManifest(c.digest())
	p.did(p.r.DeleteManifest(p.ctx, repo, c.digest()), want, "delete manifest %.12s of %s", c.digest().Encoded(), repo)
}

func (p *player) deleteBlobStep() {
	repo, data := pick(p, p.repos), pick(p, p.blobs)
	m := p.model.repo(repo)
	if !m.existed {
		return
	}
	d := digest.FromBytes(data)
	want := m.deleteBlob(d, p.s.Allows.BlobInUse)
	p.did(p.r.DeleteBlob(p.ctx, repo, d), want, "delete blob %.12s of %s", d.Encoded(), repo)
}
