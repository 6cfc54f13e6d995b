package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/db"
)

const sweepAnew = ` ON CONFLICT (project_id) DO UPDATE SET after_repository = '', after_digest = '', due_at = excluded.due_at`

// sweepScope has all verdicts of a project looked at again, by its id; "" stands for every project that wants them.
func sweepScope(tx *db.Tx, scope string) error {
	n, err := tx.Exec(`INSERT INTO verdict_sweep (project_id, due_at) SELECT id, CAST($2 AS BIGINT) FROM project
		WHERE attach_verdicts AND (id = $1 OR CAST($1 AS TEXT) = '') ORDER BY id`+sweepAnew, scope, tx.Now())
	if err == nil && n > 0 {
		tx.Changed(ChangeVerdict, "")
	}
	return err
}

// sweepSettings likewise after its settings changed, whatever it wants now.
func sweepSettings(tx *db.Tx, project string) error {
	_, err := tx.Exec(`INSERT INTO verdict_sweep (project_id, due_at) VALUES ($1, $2)`+sweepAnew, project, tx.Now()+settingsSettle.Microseconds())
	tx.Changed(ChangeVerdict, "")
	return err
}

// sweep is one on its way.
type sweep struct {
	project, repository, digest string // after these
	wanted                      bool
}

// SweepVerdicts makes owed the next n verdicts of a project that is to be looked at as a whole: of all it has, or where it
// wants none any more of what is attached. It reports whether there was such a project. Of two who sweep the same one the
// second goes on where the first has stopped.
func (s *Store) SweepVerdicts(ctx context.Context, n int) (found bool, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		var at sweep
		at, found, err = row(tx.Query, `UPDATE verdict_sweep SET due_at = $1
			WHERE project_id = (SELECT project_id FROM verdict_sweep WHERE due_at <= $2 ORDER BY due_at LIMIT 1)
			RETURNING project_id, after_repository, after_digest, (SELECT p.attach_verdicts FROM project p WHERE p.id = verdict_sweep.project_id)`,
			[]any{tx.Now(), tx.Now()}, func(row func(...any) error) (at sweep, err error) {
				return at, row(&at.project, &at.repository, &at.digest, &at.wanted)
			})
		if err != nil || !found {
			return err
		}
		return at.next(tx, n)
	})
	return found, err
}

// next owes the next n, and notes how far that came.
func (at *sweep) next(tx *db.Tx, n int) error {
	from := ` FROM repository r JOIN manifest_link l ON l.repository_id = r.id WHERE r.project_id = $1 AND (l.repository_id, l.digest) > ($2, $3)
		AND NOT EXISTS (SELECT 1 FROM attached_verdict v WHERE v.repository_id = l.repository_id AND v.carrier = l.digest AND v.carrier <> '')`
	if !at.wanted {
		from = ` FROM repository r JOIN (SELECT repository_id, subject AS digest FROM attached_verdict) l ON l.repository_id = r.id
			WHERE r.project_id = $1 AND (l.repository_id, l.digest) > ($2, $3)`
	}
	type place struct{ repository, digest string }
	batch, err := rows(tx.Query, `SELECT l.repository_id, l.digest`+from+` ORDER BY l.repository_id, l.digest LIMIT $4`,
		[]any{at.project, at.repository, at.digest, n}, func(row func(...any) error) (p place, err error) { return p, row(&p.repository, &p.digest) })
	if err != nil {
		return err
	}
	if len(batch) > 0 {
		last := batch[len(batch)-1]
		if _, err := tx.Exec(`INSERT INTO attached_verdict (repository_id, subject, due_at) SELECT l.repository_id, l.digest, CAST($6 AS BIGINT)`+from+`
			AND (l.repository_id, l.digest) <= ($4, $5) ORDER BY l.repository_id, l.digest`+owedAgain,
			at.project, at.repository, at.digest, last.repository, last.digest, tx.Now()); err != nil {
			return err
		}
		at.repository, at.digest = last.repository, last.digest
	}
	if len(batch) < n {
		_, err = tx.Exec(`DELETE FROM verdict_sweep WHERE project_id = $1`, at.project)
		return err
	}
	_, err = tx.Exec(`UPDATE verdict_sweep SET after_repository = $2, after_digest = $3 WHERE project_id = $1`, at.project, at.repository, at.digest)
	return err
}

// NoteVerdictTerms remembers what verdicts of all projects rest on besides what is in the database. If that is another than
// it was, because the hub was started with other settings, all of them are looked at again.
func (s *Store) NoteVerdictTerms(ctx context.Context, terms string) error {
	was, found, err := row(s.reads(ctx), `SELECT value FROM meta WHERE key = 'verdict_terms'`, nil, scanText)
	if err != nil || found && was == terms {
		return err
	}
	return s.write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('verdict_terms', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, terms); err != nil {
			return err
		}
		return sweepScope(tx, "")
	})
}
