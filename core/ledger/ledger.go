package ledger

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// detail is what an audit row of a push or delete says besides the object's name.
type detail struct {
	Digest    string   `json:"digest"`
	MediaType string   `json:"media_type,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Subject   string   `json:"subject,omitempty"`
}

// Record writes the audit row of a change to a repository, and what the trust gate has to know of it. It is local.Options.Record.
func Record(tx *db.Tx, e local.Event) (committed func(), err error) {
	if e.Kind == local.ManifestAttached || e.Kind == local.ManifestDetached {
		return nil, recordOwn(tx, e)
	}
	if err := Audit(tx, e); err != nil {
		return nil, err
	}
	if e.Kind == local.ManifestPushed || e.Kind == local.ManifestDeleted {
		if err := store.OweVerdicts(tx, e.Repository, string(e.Digest)); err != nil {
			return nil, err
		}
	}
	if e.Kind == local.ManifestDeleted {
		return nil, store.OrphanSBOMs(tx, e.Repository, string(e.Digest))
	}
	if e.Kind != local.ManifestPushed {
		return nil, nil
	}
	if err := store.References(tx, e.Repository, string(e.Digest)); err != nil {
		return nil, err
	}
	switch {
	case mayCarryEvidence(e):
		return nil, store.OweEvidence(tx, e.Repository, string(e.Digest))
	case registry.ManifestKindOf(e.MediaType) == registry.KindImage: // what an index lists was pushed by itself
		return nil, store.OweScan(tx, e.Repository, string(e.Digest))
	}
	return nil, nil
}

// recordOwn is Record for what the hub states itself. It is evidence of nothing, and ends no verdict, or one would be owed anew by
// itself.
func recordOwn(tx *db.Tx, e local.Event) error {
	if err := audit(tx, e); err != nil || e.Kind == local.ManifestDetached {
		return err
	}
	return store.References(tx, e.Repository, string(e.Digest))
}

// Audit is Record for a change in a registry behind the hub, where evidence is found when it is asked for. It is
// upstream.Options.Record.
func Audit(tx *db.Tx, e local.Event) error {
	if err := audit(tx, e); err != nil {
		return err
	}
	if err := tellEvents(tx, e); err != nil {
		return err
	}
	// Any manifest may bring evidence, cover another one or use its blobs: what was decided about the repository is over.
	tx.Changed(store.ChangeEvidence, e.Repository)
	return nil
}

func audit(tx *db.Tx, e local.Event) error {
	b, err := json.Marshal(detail{string(e.Digest), e.MediaType, e.Tags, string(e.Subject)})
	if err != nil {
		return err
	}
	object := e.Repository + "@" + string(e.Digest)
	if len(e.Tags) > 0 {
		object = e.Repository + ":" + strings.Join(e.Tags, ",")
	}
	return store.Audit(tx, string(e.Kind), e.ProjectID, object, string(b))
}

// mayCarryEvidence says whether a manifest is to be looked at for signatures, if it is not at once: it has a subject, or a
// tag as cosign gives its own.
func mayCarryEvidence(e local.Event) bool {
	return e.Subject != "" || slices.ContainsFunc(e.Tags, func(tag string) bool {
		_, legacy := trust.LegacySubject(tag)
		return legacy
	})
}
