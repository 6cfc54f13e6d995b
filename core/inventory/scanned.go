package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/sbom"
	"github.com/hallmarkhub/hallmark/core/store"
)

// The media types of documents, as a scanner is asked for them.
const (
	typeSPDX      = "application/spdx+json"
	typeCycloneDX = "application/vnd.cyclonedx+json"
)

// Scanned is a document that the hub's scanner made of an image.
type Scanned struct {
	MediaType string
	Document  []byte
}

// Wanted are the media types of the documents that a scan of an image is to make besides: none where its project does not want them. The
// CycloneDX document is what newer vulnerability data are matched with, so it is made whatever somebody has attested; the other only
// where nobody trusted has.
func (v *Inventory) Wanted(ctx context.Context, repository, image string) []string {
	project, _, _ := strings.Cut(repository, "/")
	p, err := v.dir.Project(ctx, project)
	if err != nil || !v.keeper.AttachesTo(p) {
		return nil
	}
	all, err := v.Documents(ctx, repository, &store.Artifact{Digest: image, MediaType: ocispec.MediaTypeImageManifest}, "")
	if err != nil {
		v.log.WarnContext(ctx, "whether a bill of materials is there could not be found out: it is made", "repository", repository, "digest", image, "error", err)
	}
	if slices.ContainsFunc(all, func(d Document) bool { return d.Trusted && d.Source == core.SBOMAttested && d.Problem == "" }) {
		return []string{typeCycloneDX}
	}
	return []string{typeCycloneDX, typeSPDX}
}

// Scanned attaches what the hub's scanner found to an image, signed with the hub's key, and makes it findable. What is there already and
// lists the same stays. What cannot be used is left out, and is no reason for the scan to fail.
func (v *Inventory) Scanned(ctx context.Context, repository, image string, all []Scanned) error {
	project, _, _ := strings.Cut(repository, "/")
	p, err := v.dir.Project(ctx, project)
	if core.CodeOf(err) == core.CodeNotFound || err == nil && !v.keeper.AttachesTo(p) {
		return nil
	}
	if err != nil {
		return err
	}
	listed := false
	for _, mediaType := range []string{typeCycloneDX, typeSPDX} {
		i := slices.IndexFunc(all, func(s Scanned) bool { return s.MediaType == mediaType })
		if i < 0 {
			continue
		}
		b, err := v.bom(ctx, all[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.log.WarnContext(ctx, "a bill of materials that the scanner made cannot be used", "repository", repository, "digest", image, "type", mediaType, "error", err)
			continue
		}
		// One of them is enough to be found by.
		if err := v.attach(ctx, repository, image, b, listed); err != nil {
			return fmt.Errorf("the bill of materials of %s@%s: %w", repository, image, err)
		}
		listed = true
	}
	return nil
}

func (v *Inventory) attach(ctx context.Context, repository, image string, b *gatekeeper.BOM, unlisted bool) error {
	was, err := v.store.AttachedSBOMs(ctx, repository, image)
	if err != nil {
		return err
	}
	carrier, content, err := v.keeper.AttachSBOM(ctx, repository, digest.Digest(image), *b)
	if err != nil || carrier == "" || was[b.Format].Carrier == carrier {
		return err
	}
	return v.Index(ctx, repository, carrier, []Found{{Carrier: carrier, Subject: image, Source: core.SBOMScanned, Content: content, Unlisted: unlisted,
		Read: func(ctx context.Context) ([]byte, error) { return v.predicate(ctx, repository, digest.Digest(content)) }}})
}

// bom is a document as it is attached, after it was read.
func (v *Inventory) bom(ctx context.Context, s Scanned) (*gatekeeper.BOM, error) {
	if err := v.enter(ctx); err != nil {
		return nil, err
	}
	defer v.leave()
	text, err := json.Marshal(json.RawMessage(s.Document)) // as it stands in the statement
	if err != nil {
		return nil, err
	}
	if len(text) > v.limits.Scanned {
		return nil, fmt.Errorf("it has more than %d bytes", v.limits.Scanned)
	}
	d, err := sbom.Read(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	b := &gatekeeper.BOM{Format: string(d.Format), Predicate: core.PredicateCycloneDX, Document: text}
	mediaType := typeCycloneDX
	if d.Format == sbom.SPDX {
		b.Predicate, mediaType = core.PredicateSPDX, typeSPDX
	}
	if mediaType != s.MediaType {
		return nil, errors.New("it is a document of another format than it is said to be")
	}
	b.Basis, err = basisOf(d, text)
	return b, err
}

// basisOf is a digest of what a document lists and which tools made it. Its own identity and time, which no two documents share, are left out.
func basisOf(d *sbom.Document, text []byte) (string, error) {
	var tools struct {
		Metadata struct {
			Tools json.RawMessage `json:"tools"`
		} `json:"metadata"`
		CreationInfo struct {
			Creators json.RawMessage `json:"creators"`
		} `json:"creationInfo"`
	}
	if err := json.Unmarshal(text, &tools); err != nil {
		return "", err
	}
	h := digest.SHA256.Digester()
	if err := json.NewEncoder(h.Hash()).Encode([]any{d, tools}); err != nil {
		return "", err
	}
	return h.Digest().Encoded(), nil
}

// Document is the CycloneDX document that the hub's scanner made of an image. That the hub has signed it is not verified again: it is taken
// from where the hub has put it, and has the digest that was read there.
func (v *Inventory) Document(ctx context.Context, repository, image string) (document []byte, found bool, err error) {
	there, err := v.store.AttachedSBOMs(ctx, repository, image)
	if err != nil {
		return nil, false, err
	}
	a := there[string(sbom.CycloneDX)]
	if a.Content == "" {
		return nil, false, nil
	}
	d := Document{StoredSBOM: store.StoredSBOM{SBOM: store.SBOM{Source: core.SBOMScanned, Content: a.Content}, SBOMDocument: store.SBOMDocument{Digest: a.Document}}}
	document, err = v.Text(ctx, repository, &d)
	if core.CodeOf(err) == core.CodeNotFound {
		return nil, false, nil
	}
	return document, err == nil, err
}
