package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	// inlinePatience is how long a push waits for its evidence to be read. What takes longer is read by a job.
	inlinePatience = 5 * time.Second
	// maxContent is the largest blob that can be the content of a trust artifact, in bytes.
	maxContent = 16 << 20
	// maxReading is how many bytes of contents are read and verified at a time. While that is done they take some ten times
	// as much memory; who comes later waits, and what is not read in time is read by the job.
	maxReading = 2 * maxContent
)

// ReadEvidence reads and verifies what a manifest of a repository says, and stores it. That there is no such manifest any
// more, or that it says nothing, is no error.
func (k *Keeper) ReadEvidence(ctx context.Context, repository string, carrier digest.Digest) error {
	parsed, err := k.carrier(ctx, repository, carrier)
	if err != nil || parsed == nil {
		return err
	}
	// When it was pushed it may not have been possible to look.
	err = k.notOurs(ctx, repository, carrier, parsed)
	switch registry.CodeOf(err) {
	case "":
		return k.readEvidence(ctx, repository, carrier, parsed)
	case registry.CodeDenied:
		return k.opt.Attaching.Remove(core.WithPrincipal(ctx, core.System()), repository, carrier, func(*db.Tx) error { return nil })
	}
	return err
}

// readEvidence fails if anything in it breaks: a push that is stored is answered so, and a pull is refused.
func (k *Keeper) readEvidence(ctx context.Context, repository string, carrier digest.Digest, parsed *registry.ParsedManifest) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the evidence in %s@%s broke: %v", repository, carrier, p)
		}
	}()
	now, err := k.material(ctx, projectOf(repository))
	if err != nil {
		return err
	}
	release, err := k.room(ctx, parsed)
	if err != nil {
		return err
	}
	defer release()
	items, err := k.items(ctx, repository, carrier, parsed)
	if err != nil {
		return err
	}
	found, err := now.verifier.Verify(ctx, items)
	if err != nil {
		return err
	}
	known := func(s *core.Signer) bool { return now.policies.Knows(now.registered, s) }
	if err := k.store.SaveEvidence(ctx, repository, string(carrier), found, known, now.revision); err != nil {
		return err
	}
	if k.opt.Owed != nil && store.OwesSBOM(found) {
		k.opt.Owed(ctx)
	}
	return nil
}

// room waits until what a manifest brings may be read into memory.
func (k *Keeper) room(ctx context.Context, parsed *registry.ParsedManifest) (release func(), err error) {
	var size int64
	for _, l := range parsed.Layers {
		size += min(max(l.Size, 0), maxContent)
	}
	size = min(size, maxReading)
	return func() { k.reading.Release(size) }, k.reading.Acquire(ctx, size)
}

// carrier is a manifest that may bring evidence; nil if it is gone.
func (k *Keeper) carrier(ctx context.Context, repository string, d digest.Digest) (*registry.ParsedManifest, error) {
	m, err := k.next.Manifest(ctx, repository, registry.Reference{Digest: d}, false)
	switch registry.CodeOf(err) {
	case "":
		return k.parse(m)
	case registry.CodeManifestUnknown, registry.CodeNameUnknown:
		return nil, nil
	}
	return nil, err
}

// items reads what a manifest says, unverified.
func (k *Keeper) items(ctx context.Context, repository string, carrier digest.Digest, parsed *registry.ParsedManifest) ([]trust.Item, error) {
	return trust.Read(ctx, carrier, parsed, func(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
		return k.content(ctx, repository, d)
	})
}

// content opens a blob of at most maxContent bytes, from wherever it lies.
func (k *Keeper) content(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
	b, err := k.next.Blob(registry.WithoutRedirect(ctx), repository, d)
	if err != nil {
		return nil, err
	}
	if b.Content == nil {
		return nil, fmt.Errorf("blob %s cannot be read here", d)
	}
	return b.Content, nil
}

// statement is the signed statement of an attestation, whose content is a blob of the repository.
func (k *Keeper) statement(ctx context.Context, repository string, content digest.Digest) ([]byte, error) {
	b, err := k.Content(ctx, repository, content)
	if err != nil {
		return nil, err
	}
	st, err := trust.ReadStatement(b)
	if err != nil {
		return nil, err
	}
	return st.Raw, nil
}

// trustContent reports whether a blob can be the content of a trust artifact: JSON, and not too large.
func (k *Keeper) trustContent(ctx context.Context, repository string, d digest.Digest) (bool, error) {
	size, err := k.next.StatBlob(ctx, repository, d, false)
	switch {
	case registry.CodeOf(err) == registry.CodeBlobUnknown:
		return false, nil
	case err != nil:
		return false, err
	case size > maxContent:
		return false, nil
	}
	f, err := k.content(ctx, repository, d)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return trust.WellFormed(f) == nil, nil
}

// evidence is what is known about a digest. What could not be verified when it arrived is tried again with the keys and
// trust roots of now, once for all who ask at the same moment.
func (r rows) evidence(ctx context.Context, repository string, d digest.Digest, now *material, found *store.Found) (_ *store.Found, err error) {
	if found == nil {
		if found, err = r.store.Evidence(ctx, repository, string(d)); err != nil {
			return nil, err
		}
	}
	found, err = r.known(ctx, repository, d, now, found)
	if err == nil && now.draft {
		err = r.verifyAnew(ctx, repository, d, now, found)
	}
	return found, err
}

func (k *Keeper) known(ctx context.Context, repository string, d digest.Digest, now *material, found *store.Found) (*store.Found, error) {
	old := outdated(found, now.revision)
	if len(old) == 0 {
		return found, nil
	}
	_, err, _ := k.rereading.Do(repository+"@"+string(d), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inlinePatience)
		defer cancel()
		return nil, k.reread(ctx, repository, d, now, old)
	})
	again, rerr := k.store.Evidence(ctx, repository, string(d))
	if rerr != nil {
		return nil, rerr
	}
	if err != nil {
		k.opt.Log.WarnContext(ctx, "not all evidence could be verified again", "repository", repository, "digest", d, "error", err)
		again.Pending = true
	}
	return again, nil
}

// reread verifies again what is outdated, and what that makes visible, so that no number of what came later hides a
// signature that was made before its key was registered. What is done when the patience ends stays done.
func (k *Keeper) reread(ctx context.Context, repository string, d digest.Digest, now *material, old map[string]bool) error {
	for done := map[string]bool{}; len(old) > 0; {
		for carrier := range old {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := k.ReadEvidence(ctx, repository, digest.Digest(carrier)); err != nil {
				return err
			}
			done[carrier] = true
		}
		found, err := k.store.Evidence(ctx, repository, string(d))
		if err != nil {
			return err
		}
		old = outdated(found, now.revision)
		maps.DeleteFunc(old, func(carrier string, _ bool) bool { return done[carrier] })
	}
	return nil
}

// outdated names the manifests whose evidence would be another one with the documents of now. That a key has signed stays
// true whatever is registered; whether a trust root vouches for something depends on the root.
func outdated(found *store.Found, revision int64) map[string]bool {
	old := map[string]bool{}
	look := func(list []store.StoredEvidence) {
		for i := range list {
			e := &list[i]
			if e.Trust < revision && e.Kind != core.EvidenceUnreadable && (e.Signer == nil || e.Signer.TrustRoot != "" || e.Signer.Key == "") {
				old[e.Carrier] = true
			}
		}
	}
	for carrier, trust := range found.Unverified {
		if trust < revision {
			old[carrier] = true
		}
	}
	look(found.Own)
	for _, list := range found.Covering {
		look(list)
	}
	return old
}

// Owed reads what is owed: what came while it could not be read at once. It returns how many manifests it looked at.
func (k *Keeper) Owed(ctx context.Context) (int, error) {
	const batch = 50
	all, err := k.store.EvidenceOwed(ctx, batch)
	var failed []error
	for _, o := range all {
		if err := k.ReadEvidence(ctx, o.Repository, digest.Digest(o.Carrier)); err != nil {
			failed = append(failed, err)
		}
	}
	return len(all), errors.Join(append(failed, err)...)
}
