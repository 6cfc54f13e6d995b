package registrytest

import (
	"bytes"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// model is what a registry is, without bytes on a disk, concurrency or time.
type model map[string]*modelRepo

type modelRepo struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]modelManifest
	tags      map[string]digest.Digest
	existed   bool // a manifest was pushed once
	tagged    bool // a tag was pushed once
}

type modelManifest struct {
	content
	blobs []digest.Digest // which it refers to
}

func (m model) repo(name string) *modelRepo {
	if m[name] == nil {
		m[name] = &modelRepo{blobs: map[digest.Digest][]byte{}, manifests: map[digest.Digest]modelManifest{},
			tags: map[string]digest.Digest{}}
	}
	return m[name]
}

// put is a push; it returns the code of its refusal.
func (m model) put(name string, c content, tags []string, blobs, children []digest.Digest) registry.Code {
	r := m.repo(name)
	for _, d := range blobs {
		if r.blobs[d] == nil {
			return registry.CodeManifestBlobUnknown
		}
	}
	for _, d := range children {
		if _, ok := r.manifests[d]; !ok {
			return registry.CodeManifestBlobUnknown
		}
	}
	r.manifests[c.digest()] = modelManifest{c, blobs}
	for _, tag := range tags {
		r.tags[tag] = c.digest()
		r.tagged = true
	}
	r.existed = true
	return ""
}

func (r *modelRepo) deleteManifest(d digest.Digest) registry.Code {
	if _, ok := r.manifests[d]; !ok {
		return registry.CodeManifestUnknown
	}
	delete(r.manifests, d)
	maps.DeleteFunc(r.tags, func(_ string, to digest.Digest) bool { return to == d })
	return ""
}

func (r *modelRepo) deleteBlob(d digest.Digest, evenInUse bool) registry.Code {
	if r.blobs[d] == nil {
		return registry.CodeBlobUnknown
	}
	for _, m := range r.manifests {
		if !evenInUse && slices.Contains(m.blobs, d) {
			return registry.CodeDenied
		}
	}
	delete(r.blobs, d)
	return ""
}

func (p *player) compareStep() { p.compare(pick(p, p.repos)) }

// compare checks that a repository has all that its model has, and nothing else of what the sequence plays with.
func (p *player) compare(repo string) {
	p.Helper()
	m := p.model.repo(repo)
	for _, data := range p.blobs {
		d := digest.FromBytes(data)
		if m.blobs[d] != nil {
			p.hasBlob(repo, data)
		} else {
			p.lacksBlob(repo, d)
		}
	}
	for _, c := range p.images {
		if _, ok := m.manifests[c.digest()]; ok {
			p.serves(repo, by(c.digest()), c)
		} else {
			p.lacksManifest(repo, by(c.digest()))
		}
	}
	for _, c := range m.manifests { // the indexes, which are too many to list
		p.serves(repo, by(c.digest()), c.content)
	}
	for _, name := range p.tags {
		if d, ok := m.tags[name]; ok {
			p.serves(repo, tag(name), m.manifests[d].content)
		} else {
			p.lacksManifest(repo, tag(name))
		}
	}
	switch {
	case m.tagged:
		p.tagsAre(repo, slices.Sorted(maps.Keys(m.tags))...)
	case m.existed && p.s.Refuses.UntaggedTags == "":
		p.tagsAre(repo)
	}
}

// session is an open upload and what it is to become.
type session struct {
	repo, id string
	whole    []byte
	sent     int
}

// sessionStep does something to an upload that is open, or opens one.
func (p *player) sessionStep() {
	if len(p.open) == 0 || len(p.open) < 4 && p.dice.IntN(3) == 0 {
		s := &session{repo: pick(p, p.repos), whole: pick(p, p.blobs)}
		u, err := p.r.StartUpload(p.ctx, s.repo, "")
		p.did(err, "", "start an upload to %s", s.repo)
		s.id = u.ID
		p.open = append(p.open, s)
		return
	}
	i := p.dice.IntN(len(p.open))
	s := p.open[i]
	switch p.dice.IntN(8) {
	case 0:
		p.did(p.r.CancelUpload(p.ctx, s.repo, s.id), "", "cancel an upload to %s", s.repo)
		p.open = slices.Delete(p.open, i, i+1)
	case 1:
		_, err := p.r.AppendUpload(p.ctx, s.repo, s.id, int64(s.sent+1+p.dice.IntN(9)), bytes.NewReader(s.whole))
		p.did(err, registry.CodeRangeInvalid, "append to an upload to %s at a wrong offset", s.repo)
	case 2:
		_, err := p.r.FinishUpload(p.ctx, s.repo, s.id, int64(s.sent), bytes.NewReader(nil), strangeDigest(s.id))
		p.did(err, registry.CodeDigestInvalid, "finish an upload to %s with a wrong digest", s.repo)
		p.open = slices.Delete(p.open, i, i+1)
	case 3, 4:
		d := digest.FromBytes(s.whole)
		_, err := p.r.FinishUpload(p.ctx, s.repo, s.id, int64(s.sent), bytes.NewReader(s.whole[s.sent:]), d)
		p.did(err, "", "finish an upload of %.12s to %s", d.Encoded(), s.repo)
		p.model.repo(s.repo).blobs[d] = s.whole
		p.open = slices.Delete(p.open, i, i+1)
	default:
		n := p.dice.IntN(len(s.whole) - s.sent + 1)
		u, err := p.r.AppendUpload(p.ctx, s.repo, s.id, int64(s.sent), bytes.NewReader(s.whole[s.sent:s.sent+n]))
		p.did(err, "", "append %d bytes at %d to an upload to %s", n, s.sent, s.repo)
		s.sent += n
		if u.Size != int64(s.sent) {
			p.Fatalf("the upload has %d bytes, want %d", u.Size, s.sent)
		}
	}
}
