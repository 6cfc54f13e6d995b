package inventory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/sbom"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// Inventory reads and finds. Its methods may be called concurrently.
type Inventory struct {
	store  *store.Store
	dir    *store.Directory
	keeper *gatekeeper.Keeper
	log    *slog.Logger
	limits Limits
	// reading bounds how many documents are in memory at once, each with what its parser needs.
	reading chan struct{}
}

// readers is how many documents are read at once.
const readers = 2

// Limits bound what one answer looks at; zero values are the defaults.
type Limits struct {
	Attested  int // of one manifest: documents times the digests that they are about; 1,000
	Bare      int // documents of one manifest that nobody signed; 10
	Documents int // about one artifact, the newest ones; 100
	Platforms int // images of an index; 50
	Listed    int // packages of all images of an index together; 200,000
	Changes   int // of a difference, each way; 5,000
	Found     int // vulnerabilities and checks of all images of an index together; 200,000
	Scanned   int // bytes of a document that the hub attaches: with what signing adds it is no larger than what is read of others; 12,000,000
	FixTags   int // of a repository that are looked at for a fix, the newest ones; 20
	FixImages int // that these tags are; 200
	Fixes     int // tags that are told of a hit; 5
}

func (l Limits) orDefaults() Limits {
	return Limits{cmp.Or(l.Attested, 1000), cmp.Or(l.Bare, 10), cmp.Or(l.Documents, 100), cmp.Or(l.Platforms, 50), cmp.Or(l.Listed, 200_000),
		cmp.Or(l.Changes, 5000), cmp.Or(l.Found, 200_000), cmp.Or(l.Scanned, 12_000_000), cmp.Or(l.FixTags, 20), cmp.Or(l.FixImages, 200), cmp.Or(l.Fixes, 5)}
}

// New makes an Inventory.
func New(s *store.Store, dir *store.Directory, keeper *gatekeeper.Keeper, log *slog.Logger, limits Limits) *Inventory {
	return &Inventory{store: s, dir: dir, keeper: keeper, log: log, limits: limits.orDefaults(), reading: make(chan struct{}, readers)}
}

// Found is a document about a digest of a repository.
type Found struct {
	Carrier string // digest of the manifest that brought it
	Item    int64  // which of its documents
	Subject string
	Source  core.SBOMSource
	Content string // digest of the blob that it lies in
	// Unlisted is a document by which nothing is to be found, because another one says the same.
	Unlisted bool
	// Read returns the document.
	Read func(ctx context.Context) ([]byte, error)
}

// Index stores what documents that a manifest of a repository brings say, in place of what was stored of it. A document that is
// known is not read again. It is the one way in for documents of every source.
func (v *Inventory) Index(ctx context.Context, repository, carrier string, all []Found) error {
	project, _, _ := strings.Cut(repository, "/")
	p, err := v.dir.Project(ctx, project)
	if core.CodeOf(err) == core.CodeNotFound {
		return nil // it went with all it had
	}
	if err != nil {
		return err
	}
	type listed struct {
		content string
		source  core.SBOMSource
	}
	done := map[listed]int64{} // one statement can be about very many digests
	rows := make([]store.SBOM, 0, len(all))
	for _, f := range all {
		id, ok := done[listed{f.Content, f.Source}]
		if !ok {
			id, err = v.list(ctx, p, f)
			if registry.CodeOf(err) == registry.CodeBlobUnknown {
				continue // in a project that takes manifests without what they list
			}
			if err != nil {
				return fmt.Errorf("a document about %s@%s: %w", repository, f.Subject, err)
			}
			done[listed{f.Content, f.Source}] = id
		}
		rows = append(rows, store.SBOM{Carrier: f.Carrier, Item: f.Item, Subject: f.Subject, Source: f.Source, Document: id, Content: f.Content,
			Unlisted: f.Unlisted})
	}
	return v.store.SaveSBOMs(ctx, repository, carrier, rows)
}

// list makes the packages of a document findable in a project, and returns its id.
func (v *Inventory) list(ctx context.Context, p *core.Project, f Found) (int64, error) {
	id, err := v.known(ctx, f)
	if err == nil && id == 0 {
		id, err = v.document(ctx, f)
	}
	if err == nil && !f.Unlisted {
		err = v.store.ListDocument(ctx, p, f.Source, id)
	}
	return id, err
}

// known is the document that was found in the same blob before; 0 if there is none. What was attested has been read where it lies; what
// was not is read again: who names a blob that he does not have must not learn what is in it.
func (v *Inventory) known(ctx context.Context, f Found) (int64, error) {
	if f.Source != core.SBOMAttested {
		return 0, nil
	}
	id, _, err := v.store.DocumentIn(ctx, f.Content)
	return id, err
}

// enter waits until another document may be held in memory, leave ends that.
func (v *Inventory) enter(ctx context.Context) error {
	select {
	case v.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *Inventory) leave() { <-v.reading }

// document reads a document and saves it. What cannot be read is saved with the reason, and lists nothing.
func (v *Inventory) document(ctx context.Context, f Found) (int64, error) {
	if err := v.enter(ctx); err != nil {
		return 0, err
	}
	defer v.leave()
	text, err := f.Read(ctx)
	if err != nil {
		return 0, err
	}
	row := store.SBOMDocument{Digest: string(digest.FromBytes(text))}
	doc, err := sbom.Read(bytes.NewReader(text))
	if err != nil {
		row.Problem = err.Error()
		return v.store.SaveDocument(ctx, row, nil)
	}
	row.Format, row.Version, row.Unnamed = string(doc.Format), doc.Version, int64(doc.Unnamed)
	return v.store.SaveDocument(ctx, row, doc.Packages)
}

// owedBatch is how many manifests are taken at once.
const owedBatch = 20

// Owed reads what is owed: manifests that came since, and those whose evidence was verified anew; and removes what the hub has attached to
// images that went. It returns how many manifests it looked at. One that cannot be read is owed again later, and keeps no other waiting.
func (v *Inventory) Owed(ctx context.Context) (n int, err error) {
	for {
		all, err := v.store.SBOMsOwed(ctx, owedBatch)
		if err != nil {
			return n, err
		}
		for _, o := range all {
			if err := v.read(ctx, o.Repository, o.Carrier); err != nil {
				if ctx.Err() != nil {
					return n, err
				}
				v.log.WarnContext(ctx, "a bill of materials could not be read yet", "repository", o.Repository, "carrier", o.Carrier, "error", err)
			}
		}
		if n += len(all); len(all) < owedBatch {
			removed, err := v.keeper.DetachSBOMs(ctx)
			return n + removed, err
		}
	}
}

// read finds the documents in one manifest, and indexes them.
func (v *Inventory) read(ctx context.Context, repository, carrier string) error {
	evidence, err := v.store.CarriedEvidence(ctx, repository, carrier)
	if err != nil {
		return err
	}
	var all []Found
	for _, item := range slices.Sorted(maps.Keys(evidence)) {
		e := evidence[item]
		if !store.IsSBOM(&e) || e.Subject == "" || len(all) == v.limits.Attested {
			continue
		}
		f := Found{Carrier: carrier, Item: item, Subject: e.Subject, Source: core.SBOMUnsigned, Content: e.Content}
		if e.Signer != nil {
			f.Source = core.SBOMAttested
		}
		f.Read = func(ctx context.Context) ([]byte, error) {
			return v.predicate(ctx, repository, digest.Digest(e.Content))
		}
		all = append(all, f)
	}
	if len(evidence) == 0 {
		if all, err = v.bare(ctx, repository, carrier); err != nil {
			return err
		}
	}
	return v.Index(ctx, repository, carrier, all)
}

// predicate is what an attestation says: the document as it was signed.
func (v *Inventory) predicate(ctx context.Context, repository string, content digest.Digest) ([]byte, error) {
	b, err := v.keeper.Content(ctx, repository, content)
	if err != nil {
		return nil, err
	}
	st, err := trust.ReadStatement(b)
	if err != nil {
		return nil, err
	}
	return st.Predicate, nil
}

// bare finds documents that nobody signed: the layers of a manifest with a subject, or with one of cosign's tags for one.
func (v *Inventory) bare(ctx context.Context, repository, carrier string) ([]Found, error) {
	m, err := v.keeper.Carrier(ctx, repository, digest.Digest(carrier))
	if err != nil || m == nil || trust.Classify(m) != trust.ShapeDocument {
		return nil, err
	}
	var subjects []string
	if m.Subject != nil {
		subjects = append(subjects, string(m.Subject.Digest))
	} else {
		tags, err := v.store.TagsOf(ctx, repository, carrier, v.limits.Bare)
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			if d, ok := trust.LegacySubject(tag); ok && strings.HasSuffix(tag, ".sbom") {
				subjects = append(subjects, string(d))
			}
		}
	}
	var all []Found
	for _, subject := range subjects {
		for _, l := range m.Layers {
			if !isDocument(l.MediaType) || len(all) == v.limits.Bare {
				continue
			}
			all = append(all, Found{Carrier: carrier, Item: int64(len(all)), Subject: subject, Source: core.SBOMUnsigned, Content: string(l.Digest),
				Read: func(ctx context.Context) ([]byte, error) { return v.keeper.Content(ctx, repository, l.Digest) }})
		}
	}
	return all, nil
}

// isDocument knows the media types of documents; an in-toto statement that nobody signed is none.
func isDocument(mediaType string) bool {
	switch mediaType {
	case typeSPDX, "text/spdx+json", typeCycloneDX:
		return true
	}
	return false
}
