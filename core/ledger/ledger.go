package ledger

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
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
	b, err := json.Marshal(detail{string(e.Digest), e.MediaType, e.Tags, string(e.Subject)})
	if err != nil {
		return nil, err
	}
	object := e.Repository + "@" + string(e.Digest)
	if len(e.Tags) > 0 {
		object = e.Repository + ":" + strings.Join(e.Tags, ",")
	}
	if err := store.Audit(tx, string(e.Kind), e.ProjectID, object, string(b)); err != nil {
		return nil, err
	}
	switch e.Kind { // what the hub states of a verdict is evidence of nothing, or it would be owed anew by itself
	case local.ManifestAttached:
		return nil, store.References(tx, e.Repository, string(e.Digest))
	case local.ManifestDetached:
		return nil, nil
	}
	if e.Kind == local.ManifestPushed || e.Kind == local.ManifestDeleted {
		if err := store.OweVerdicts(tx, e.Repository, string(e.Digest)); err != nil {
			return nil, err
		}
	}
	// Any manifest may bring evidence, cover another one or use its blobs: what was decided about the repository is over.
	tx.Changed(store.ChangeEvidence, e.Repository)
	if e.Kind != local.ManifestPushed {
		return nil, nil
	}
	if err := store.References(tx, e.Repository, string(e.Digest)); err != nil {
		return nil, err
	}
	if mayCarryEvidence(e) {
		return nil, store.OweEvidence(tx, e.Repository, string(e.Digest))
	}
	return nil, nil
}

// mayCarryEvidence says whether a manifest is to be looked at for signatures, if it is not at once: it has a subject, or a
// tag as cosign gives its own.
func mayCarryEvidence(e local.Event) bool {
	return e.Subject != "" || slices.ContainsFunc(e.Tags, func(tag string) bool {
		_, legacy := trust.LegacySubject(tag)
		return legacy
	})
}
