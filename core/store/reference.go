package store

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/hallmarkhub/hallmark/core/db"
)

// vouchedPlace is added to the place of what somebody known vouches for.
const vouchedPlace = 1 << 62

// References notes in the transaction of a push what a manifest refers to, for whoever asks later which manifests of the
// repository use a blob or list a manifest.
func References(tx *db.Tx, repository, manifest string) error {
	type link struct {
		id    string
		known bool
	}
	// Its signature, or that of an index above it, may have come first.
	at, found, err := row(tx.Query, `SELECT r.id, EXISTS (SELECT 1 FROM evidence e WHERE e.repository_id = r.id AND e.subject = $2 AND e.signer > '')
			OR EXISTS (SELECT 1 FROM repository_reference x WHERE x.repository_id = r.id AND x.target = $2 AND x.kind = 'manifest' AND x.place >= $3)
		FROM repository r WHERE r.name = $1`, []any{repository, manifest, int64(vouchedPlace)},
		func(row func(...any) error) (l link, err error) { return l, row(&l.id, &l.known) })
	if err == nil && !found {
		err = errors.New("the repository was deleted meanwhile")
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO repository_reference (repository_id, manifest, target, kind, place)
		SELECT l.repository_id, m.manifest, m.target, m.kind, l.pushed_at FROM manifest_link l JOIN manifest_reference m ON m.manifest = l.digest
		WHERE l.repository_id = $1 AND l.digest = $2 ON CONFLICT (repository_id, manifest, target, kind) DO NOTHING`, at.id, manifest); err != nil || !at.known {
		return err
	}
	return vouch(tx, at.id, manifest)
}

// vouch puts what a manifest refers to before what nobody vouches for, and what the manifests that it lists refer to. SQLite
// joins from the first name to the last as CROSS JOIN says, or it would read all of the repository.
func vouch(tx *db.Tx, repositoryID, manifest string) error {
	_, err := tx.Exec(`UPDATE repository_reference SET place = $3 WHERE repository_id = $1 AND manifest IN (
		WITH RECURSIVE below (digest, depth) AS (
			SELECT CAST($2 AS TEXT), 0
			UNION SELECT r.target, b.depth + 1 FROM below b CROSS JOIN repository_reference r
				WHERE r.repository_id = $1 AND r.manifest = b.digest AND r.kind = 'manifest' AND b.depth < 3
		) SELECT digest FROM below)`, repositoryID, manifest, int64(vouchedPlace)+tx.Now())
	return err
}

// User is a manifest that refers to a blob.
type User struct {
	Digest string
	place  int64
}

// Vouched reports whether somebody known has said something about it, or about an index above it.
func (u User) Vouched() bool { return u.place >= vouchedPlace }

// Users lists manifests of a repository that refer to a blob, at most n: first those that somebody known vouches for, then
// the newest.
func (s *Store) Users(ctx context.Context, repository, blob string, n int) ([]string, error) {
	all, err := s.UsersAfter(ctx, repository, blob, nil, n)
	var out []string
	for _, u := range all {
		out = append(out, u.Digest)
	}
	return out, err
}

// UsersAfter goes on with Users after the given one; nil: from the first on.
func (s *Store) UsersAfter(ctx context.Context, repository, blob string, last *User, n int) ([]User, error) {
	if last == nil {
		last = &User{place: math.MaxInt64}
	}
	all, err := rows(s.reads(ctx), `SELECT manifest, place FROM repository_reference
		WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND target = $2 AND kind = 'blob' AND (place, manifest) < ($3, $4)
		ORDER BY place DESC, manifest DESC LIMIT `+limit(n), []any{repository, blob, last.place, last.Digest},
		func(row func(...any) error) (u User, err error) { return u, row(&u.Digest, &u.place) })
	return all[:min(n, len(all))], err
}

// Using returns those of some manifests of a repository that refer to a blob.
func (s *Store) Using(ctx context.Context, repository, blob string, manifests []string) ([]string, error) {
	var all []string
	for some := range slices.Chunk(manifests, 256) {
		var st statement
		st.add(`SELECT manifest FROM repository_reference WHERE repository_id = (SELECT id FROM repository WHERE name = ?)
			AND target = ? AND kind = 'blob' AND manifest IN `, repository, blob)
		st.in(some)
		found, err := rows(s.reads(ctx), st.text.String(), st.args, scanText)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}
