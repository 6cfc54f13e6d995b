package registrytest

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func contextTests() []test {
	return []test{
		{"a push in a cancelled context fails and changes nothing", cancelledPush},
		{"a delete in a cancelled context fails and changes nothing", cancelledDelete},
		{"a read in a cancelled context is right or fails with the context", cancelledRead},
		{"an upload whose context ends can be continued", cancelledUpload},
	}
}

// cancelled returns a context of alice that has ended.
func (f *fixture) cancelled() context.Context {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	return ctx
}

func (f *fixture) endedBy(err error, what string) {
	f.Helper()
	if !errors.Is(err, context.Canceled) {
		f.Fatalf("%s in a cancelled context: %v, want an error that is context.Canceled", what, err)
	}
}

func cancelledPush(f *fixture) {
	ctx := f.cancelled()
	c := f.image(f.repo, "one")
	_, err := f.r.PutManifest(ctx, f.repo, c.put("1.0"))
	f.endedBy(err, "PutManifest")
	f.lacksManifest(f.repo, tag("1.0"))
	f.lacksManifest(f.repo, by(c.digest()))
	_, err = f.r.StartUpload(ctx, f.repo, "")
	f.endedBy(err, "StartUpload")

	data := f.bytes("blob")
	u := f.started()
	_, err = f.r.FinishUpload(ctx, f.repo, u.ID, 0, bytes.NewReader(data), digest.FromBytes(data))
	f.endedBy(err, "FinishUpload")
	f.lacksBlob(f.repo, digest.FromBytes(data))

	f.upload(f.other, "", data)
	_, err = f.r.MountBlob(ctx, f.repo, digest.FromBytes(data), registry.MountSource{
		Repository: f.other, Allowed: func(context.Context, string) bool { return true }})
	if err == nil {
		f.Fatal("MountBlob in a cancelled context succeeded")
	}
	f.lacksBlob(f.repo, digest.FromBytes(data))
}

func cancelledDelete(f *fixture) {
	ctx := f.cancelled()
	c := f.pushedImage(f.repo, "one", "1.0")
	data := f.bytes("blob")
	f.upload(f.repo, "", data)
	u := f.started()
	f.endedBy(f.r.DeleteTag(ctx, f.repo, "1.0"), "DeleteTag")
	f.endedBy(f.r.DeleteManifest(ctx, f.repo, c.digest()), "DeleteManifest")
	f.endedBy(f.r.DeleteBlob(ctx, f.repo, digest.FromBytes(data)), "DeleteBlob")
	f.endedBy(f.r.CancelUpload(ctx, f.repo, u.ID), "CancelUpload")
	f.serves(f.repo, tag("1.0"), c)
	f.hasBlob(f.repo, data)
	f.stands(u.ID, 0)
}

func cancelledRead(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	ctx := f.cancelled()
	if m, err := f.r.Manifest(ctx, f.repo, tag("1.0"), false); err != nil {
		f.endedBy(err, "Manifest")
	} else if !bytes.Equal(m.Payload, c.payload) {
		f.Fatal("Manifest in a cancelled context gave something else")
	}
	if _, err := f.r.StatBlob(ctx, f.repo, digest.FromBytes(f.bytes("layer one")), false); err != nil {
		f.endedBy(err, "StatBlob")
	}
	if page, err := f.r.Tags(ctx, f.repo, "", 10); err != nil {
		f.endedBy(err, "Tags")
	} else if len(page.Names) != 1 {
		f.Fatalf("Tags in a cancelled context gave %q", page.Names)
	}
}

// cancelling is a reader that cancels the context in the middle of its data.
type cancelling struct {
	first, rest io.Reader
	cancel      func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	if n, _ := c.first.Read(p); n > 0 {
		return n, nil
	}
	c.cancel()
	return c.rest.Read(p)
}

func cancelledUpload(f *fixture) {
	data := f.random(400_000)
	first, rest := half(data)
	u := f.started()
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	// Whether the context's end is noticed before the chunk's is open; that both sides agree afterwards is not.
	_, _ = f.r.AppendUpload(ctx, f.repo, u.ID, 0,
		&cancelling{first: bytes.NewReader(first), rest: bytes.NewReader(rest), cancel: cancel})
	now, err := f.r.Upload(f.ctx, f.repo, u.ID)
	f.ok(err, "asking how far the upload has come")
	// What was on its way may still arrive, and then the refusal says where the upload stands now.
	for range 10 {
		if now.Size > int64(len(data)) {
			f.Fatalf("of %d bytes %d have arrived", len(data), now.Size)
		}
		_, err = f.r.FinishUpload(f.ctx, f.repo, u.ID, now.Size, bytes.NewReader(data[now.Size:]), digest.FromBytes(data))
		var e *registry.Error
		if !errors.As(err, &e) || e.Upload == nil {
			break
		}
		now = *e.Upload
	}
	f.ok(err, "going on with the upload at %d", now.Size)
	f.hasBlob(f.repo, data)
}
