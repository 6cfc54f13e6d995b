package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// StoredEvidence is evidence as it was verified at some time.
type StoredEvidence struct {
	core.Evidence
	Trust int64 // TrustMaterial.Revision it was verified with
}

// SaveEvidence writes what a manifest of a repository was found to say, in place of what was written of it before. It
// writes nothing if the manifest is gone. known says which signers anybody has registered: what others say is looked at
// no sooner than what nobody signed, or everybody with an account somewhere could bury the rest (V-37).
func (s *Store) SaveEvidence(ctx context.Context, repository, carrier string, all []core.Evidence, known func(*core.Signer) bool, trust int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		type link struct {
			id       string
			project  string
			at       int64
			verdicts bool
		}
		at, found, err := row(tx.Query, `SELECT r.id, r.project_id, l.pushed_at, p.attach_verdicts FROM repository r JOIN manifest_link l ON l.repository_id = r.id
			JOIN project p ON p.id = r.project_id WHERE r.name = $1 AND l.digest = $2`, []any{repository, carrier},
			func(row func(...any) error) (l link, err error) { return l, row(&l.id, &l.project, &l.at, &l.verdicts) })
		if err != nil || !found {
			return err
		}
		owe := func() error {
			if !at.verdicts {
				return nil
			}
			return OweVerdicts(tx, repository, carrier)
		}
		if err := owe(); err != nil { // about what it was evidence of
			return err
		}
		id := at.id
		before, err := dropEvidence(tx, id, carrier)
		if err != nil {
			return err
		}
		vouched := map[string]bool{}
		for i, e := range all {
			facts, err := json.Marshal(e)
			if err != nil {
				return err
			}
			signer := filed(&e, known)
			if _, err := tx.Exec(`INSERT INTO evidence (repository_id, carrier, item, subject, signer, facts, trust, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, id, carrier, i, e.Subject, signer, string(facts), tried(&e, trust), at.at); err != nil {
				return err
			}
			if signer != "" && !vouched[e.Subject] {
				vouched[e.Subject] = true
				if err := vouch(tx, id, e.Subject); err != nil {
					return err
				}
				if before[e.Subject] {
					continue
				}
				if err := tellSigned(tx, at.project, repository, &e); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(`DELETE FROM evidence_owed WHERE repository_id = $1 AND carrier = $2`, id, carrier); err != nil {
			return err
		}
		if OwesSBOM(all) {
			if err := oweSBOM(tx, id, carrier); err != nil {
				return err
			}
		}
		tx.Changed(ChangeEvidence, repository)
		return owe()
	})
}

// dropEvidence removes what a manifest was found to say, and returns of what somebody known said something.
func dropEvidence(tx *db.Tx, repositoryID, carrier string) (vouched map[string]bool, err error) {
	vouched = map[string]bool{}
	err = tx.Query(`DELETE FROM evidence WHERE repository_id = $1 AND carrier = $2 RETURNING subject, signer`, []any{repositoryID, carrier},
		func(row func(...any) error) error {
			var subject, signer string
			err := row(&subject, &signer)
			vouched[subject] = vouched[subject] || signer != ""
			return err
		})
	return vouched, err
}

// tellSigned says that somebody known has said something of a manifest, for the first time with this carrier.
func tellSigned(tx *db.Tx, project, repository string, e *core.Evidence) error {
	return tell(tx, EventSigned, project, repository+"@"+e.Subject, struct {
		Repository    string `json:"repository"`
		Digest        string `json:"digest"`
		Carrier       string `json:"carrier"`
		PredicateType string `json:"predicate_type,omitempty"`
		Key           string `json:"key,omitempty"`
		Identity      string `json:"identity,omitempty"`
	}{repository, e.Subject, e.Carrier, e.PredicateType, e.Signer.Key, e.Signer.Subject})
}

// ChangeEvidence is published when evidence came or went, or what an index covers. The key is the repository's name.
const ChangeEvidence = "evidence"

// filed is what evidence is looked up under: who said what sort of thing; "" if that is nobody known. Keys come behind
// identities in the order of text, and so first where it is read from its end. What strangers can make long is hashed.
func filed(e *core.Evidence, known func(*core.Signer) bool) string {
	switch {
	case e.Signer == nil || !known(e.Signer):
		return ""
	case e.Signer.Key != "":
		return fmt.Sprintf("%s %x", e.Signer.Key, sha256.Sum256([]byte(e.PredicateType)))
	}
	return fmt.Sprintf("identity %x", sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", e.Signer.TrustRoot, e.Signer.Issuer, e.Signer.Subject, e.PredicateType)))
}

// tried is the revision at which evidence was verified: for what cannot be read it makes no difference.
func tried(e *core.Evidence, trust int64) int64 {
	if e.Kind == core.EvidenceUnreadable {
		return math.MaxInt64
	}
	return trust
}

// OweEvidence notes in the transaction of a push that a manifest may carry evidence which is to be read.
func OweEvidence(tx *db.Tx, repository, carrier string) error {
	_, err := tx.Exec(`INSERT INTO evidence_owed (repository_id, carrier, subject, due_at)
		SELECT r.id, l.digest, COALESCE(l.subject, ''), CAST($3 AS BIGINT) FROM repository r JOIN manifest_link l ON l.repository_id = r.id AND l.digest = $2
		WHERE r.name = $1 ON CONFLICT (repository_id, carrier) DO NOTHING`,
		repository, carrier, tx.Now())
	return err
}

// Owed is a manifest whose evidence is to be read.
type Owed struct{ Repository, Carrier string }

// EvidenceOwed takes up to n manifests that are due, and puts each off until later: whoever dies while reading one has
// another one read it then, each time after longer.
func (s *Store) EvidenceOwed(ctx context.Context, n int) ([]Owed, error) {
	return s.owed(ctx, "evidence_owed", 10*time.Second, n)
}

// owed takes up to n rows of a table that are due. Each try puts one off by wait, times the square of the tries.
func (s *Store) owed(ctx context.Context, table string, wait time.Duration, n int) (all []Owed, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		all, err = rows(tx.Query, `UPDATE `+table+` SET attempts = attempts + 1, due_at = $1 + $2 * (attempts + 1) * (attempts + 1)
			WHERE (repository_id, carrier) IN (SELECT repository_id, carrier FROM `+table+` WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
			RETURNING (SELECT name FROM repository WHERE id = repository_id), carrier`,
			[]any{tx.Now(), wait.Microseconds(), n}, func(row func(...any) error) (o Owed, err error) { return o, row(&o.Repository, &o.Carrier) })
		return err
	})
	return all, err
}
