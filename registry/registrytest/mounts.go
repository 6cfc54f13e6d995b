package registrytest

import (
	"context"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

func mountTests() []test {
	return []test{
		{"a blob is mounted from a repository that is allowed", mountFrom},
		{"a mounted blob serves an image and outlives its source", mountedBlobIsWhole},
		{"a repository that is not allowed has no such blob (V-23)", mountRefused},
		{"a blob is found where it is allowed when no source is named", mountAutomatic},
		{"no source and none allowed: unknown (V-23)", mountAutomaticRefused},
		{"what nobody has cannot be mounted", mountUnknown},
		{"mounting what is already here succeeds", mountTwice},
	}
}

// asked is an Allowed that remembers for which repositories it was asked.
type asked struct {
	mu    sync.Mutex
	repos []string
	admit []string
}

func (a *asked) allowed(_ context.Context, repo string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.repos = append(a.repos, repo)
	return slices.Contains(a.admit, repo)
}

func mountFrom(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.other, "", data).Digest
	a := &asked{admit: []string{f.other}}
	size, err := f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{Repository: f.other, Allowed: a.allowed})
	f.ok(err, "mounting")
	if size != int64(len(data)) {
		f.Fatalf("the mounted blob of %d bytes was answered with size %d", len(data), size)
	}
	if !slices.Equal(a.repos, []string{f.other}) {
		f.Fatalf("Allowed was asked for %q, want just %q", a.repos, f.other)
	}
	f.hasBlob(f.repo, data)
	f.hasBlob(f.other, data)
}

func mountedBlobIsWhole(f *fixture) {
	c := f.pushedImage(f.other, "one", "1.0")
	a := &asked{admit: []string{f.other}}
	blobs := [][]byte{f.configJSON("one"), f.bytes("layer one")}
	for _, data := range blobs {
		_, err := f.r.MountBlob(f.ctx, f.repo, digest.FromBytes(data),
			registry.MountSource{Repository: f.other, Allowed: a.allowed})
		f.ok(err, "mounting")
	}
	f.push(f.repo, c, "1.0")
	f.ok(f.r.DeleteManifest(f.ctx, f.other, c.digest()), "deleting the source's image")
	for _, data := range blobs {
		f.ok(f.r.DeleteBlob(f.ctx, f.other, digest.FromBytes(data)), "deleting the source's blob")
		f.lacksBlob(f.other, digest.FromBytes(data))
		f.hasBlob(f.repo, data)
	}
	f.serves(f.repo, tag("1.0"), c)
}

func mountRefused(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.other, "", data).Digest
	for name, from := range map[string]registry.MountSource{
		"a refusing Allowed":            {Repository: f.other, Allowed: (&asked{}).allowed},
		"no Allowed":                    {Repository: f.other},
		"an Allowed for another source": {Repository: f.other, Allowed: (&asked{admit: []string{f.repo}}).allowed},
	} {
		_, err := f.r.MountBlob(f.ctx, f.repo, d, from)
		f.refused(err, "mounting with "+name, registry.CodeBlobUnknown)
		f.lacksBlob(f.repo, d)
	}
}

func mountAutomatic(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.other, "", data).Digest
	f.upload(f.other+"/secret", "", data)
	a := &asked{admit: []string{f.other}}
	size, err := f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{Allowed: a.allowed})
	if f.documented(err, "mounting without a source", f.s.Refuses.AutomaticMount) {
		f.lacksBlob(f.repo, d)
		return
	}
	if size != int64(len(data)) {
		f.Fatalf("the mounted blob of %d bytes was answered with size %d", len(data), size)
	}
	f.hasBlob(f.repo, data)
}

func mountAutomaticRefused(f *fixture) {
	d := f.upload(f.other, "", f.bytes("blob")).Digest
	a := &asked{}
	_, err := f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{Allowed: a.allowed})
	f.refused(err, "mounting from anywhere with nothing allowed", registry.CodeBlobUnknown)
	_, err = f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{})
	f.refused(err, "mounting from anywhere without Allowed", registry.CodeBlobUnknown)
	f.lacksBlob(f.repo, d)
}

func mountUnknown(f *fixture) {
	f.pushedImage(f.other, "one", "1.0")
	all := func(context.Context, string) bool { return true }
	d := strangeDigest("mount")
	for _, from := range []string{f.other, f.other + "/nothing", f.repo, ""} {
		_, err := f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{Repository: from, Allowed: all})
		f.refused(err, "mounting an unknown blob from "+from, registry.CodeBlobUnknown)
	}
	present := f.upload(f.other, ocispec.MediaTypeImageLayer, f.bytes("present")).Digest
	_, err := f.r.MountBlob(f.ctx, f.repo, present, registry.MountSource{Repository: f.other + "/nothing", Allowed: all})
	f.refused(err, "mounting from a repository that does not have the blob", registry.CodeBlobUnknown)
	f.lacksBlob(f.repo, present)
}

func mountTwice(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.other, "", data).Digest
	a := &asked{admit: []string{f.other}}
	for range 2 {
		_, err := f.r.MountBlob(f.ctx, f.repo, d, registry.MountSource{Repository: f.other, Allowed: a.allowed})
		f.ok(err, "mounting")
	}
	f.hasBlob(f.repo, data)
}
