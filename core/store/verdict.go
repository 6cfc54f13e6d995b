package store

import (
	"context"
	"errors"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// OwedVerdict is a manifest of a repository whose verdict is to be stated, or no longer to be.
type OwedVerdict struct {
	Repository, Project string
	Subject             string
	Carrier             string // what states a verdict about it now; "" if nothing does
	Basis               string // of that statement

	Wanted   bool // the project has its verdicts attached
	Present  bool // the subject is there
	Attached bool // the carrier is there
	Spread   bool // what lists it and what it lists are owed with it

	repositoryID string
	turn         int64
}

// ChangeVerdict is published when verdicts became owed. It has no key.
const ChangeVerdict = "verdict"

// ErrOvertaken says that a verdict became owed anew while it was being found out, or that somebody else has it now.
var ErrOvertaken = errors.New("the verdict was overtaken")

const (
	// verdictWait is after how long a verdict is taken again that was not settled, times the square of the attempts.
	verdictWait     = 10 * time.Second
	verdictAttempts = 8 // from then on the wait does not grow
	// settingsSettle is waited for before a project is swept whose settings changed: a push that began before the change
	// does not owe its verdict, and is in the database by then.
	settingsSettle = 2 * time.Second
	// relatedDepth is how many indexes lie between manifests whose verdicts depend on each other, as for Evidence.
	relatedDepth = 3
)

const owedAgain = ` ON CONFLICT (repository_id, subject) DO UPDATE SET spread = attached_verdict.spread OR excluded.spread,
	due_at = excluded.due_at, attempts = 0, turn = attached_verdict.turn + 1`

// OweVerdicts notes in the transaction of a change, before it removes anything, that the verdicts about a manifest, about
// what it is evidence of and about what it states are to be looked at again. It does nothing where none are wanted.
func OweVerdicts(tx *db.Tx, repository, digest string) error {
	n, err := tx.Exec(`WITH repo AS (SELECT r.id FROM repository r JOIN project p ON p.id = r.project_id WHERE r.name = $1 AND p.attach_verdicts),
		about (subject) AS (
			SELECT CAST($2 AS TEXT)
			UNION SELECT e.subject FROM evidence e JOIN manifest_link l ON l.repository_id = e.repository_id AND l.digest = e.subject
				WHERE e.repository_id = (SELECT id FROM repo) AND e.carrier = $2
			UNION SELECT v.subject FROM attached_verdict v WHERE v.repository_id = (SELECT id FROM repo) AND v.carrier = $2 AND v.carrier <> ''
		)
		INSERT INTO attached_verdict (repository_id, subject, spread, due_at)
		SELECT repo.id, about.subject, TRUE, CAST($3 AS BIGINT) FROM repo CROSS JOIN about WHERE TRUE ORDER BY about.subject`+owedAgain,
		repository, digest, tx.Now())
	if err == nil && n > 0 {
		tx.Changed(ChangeVerdict, "")
	}
	return err
}

// OweRelatives makes owed what lists a manifest in its repository and what it lists there, nested ones too.
func (s *Store) OweRelatives(ctx context.Context, o *OwedVerdict) error {
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE above (digest, depth) AS (
				SELECT CAST($2 AS TEXT), 0
				UNION SELECT m.manifest, a.depth + 1 FROM above a JOIN manifest_reference m ON m.target = a.digest AND m.kind = 'manifest'
					JOIN manifest_link l ON l.digest = m.manifest AND l.repository_id = $1 WHERE a.depth < $4
			), below (digest, depth) AS (
				SELECT CAST($2 AS TEXT), 0
				UNION SELECT m.target, b.depth + 1 FROM below b JOIN manifest_reference m ON m.manifest = b.digest AND m.kind = 'manifest'
					JOIN manifest_link l ON l.digest = m.target AND l.repository_id = $1 WHERE b.depth < $4
			)
			INSERT INTO attached_verdict (repository_id, subject, due_at)
			SELECT CAST($1 AS TEXT), d.digest, CAST($3 AS BIGINT) FROM (SELECT digest FROM above UNION SELECT digest FROM below) d
			WHERE d.digest <> $2 ORDER BY d.digest`+owedAgain, o.repositoryID, o.Subject, tx.Now(), relatedDepth)
		return err
	})
}

// VerdictsOwed takes up to n verdicts that are due, and puts each off until later: whoever dies with one leaves it to
// somebody else then.
func (s *Store) VerdictsOwed(ctx context.Context, n int) (all []*OwedVerdict, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		all, err = rows(tx.Query, `UPDATE attached_verdict SET turn = turn + 1, due_at = $1 + $2 * (attempts + 1) * (attempts + 1),
				attempts = CASE WHEN attempts < $3 THEN attempts + 1 ELSE attempts END
			WHERE (repository_id, subject) IN (SELECT repository_id, subject FROM attached_verdict WHERE due_at <= $1 ORDER BY due_at LIMIT $4)
			RETURNING repository_id, subject, carrier, basis, spread, turn,
				(SELECT r.name FROM repository r WHERE r.id = attached_verdict.repository_id),
				(SELECT p.name FROM repository r JOIN project p ON p.id = r.project_id WHERE r.id = attached_verdict.repository_id),
				(SELECT p.attach_verdicts FROM repository r JOIN project p ON p.id = r.project_id WHERE r.id = attached_verdict.repository_id),
				EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = attached_verdict.repository_id AND l.digest = attached_verdict.subject),
				EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = attached_verdict.repository_id AND l.digest = attached_verdict.carrier)`,
			[]any{tx.Now(), verdictWait.Microseconds(), verdictAttempts, n}, func(row func(...any) error) (*OwedVerdict, error) {
				var o OwedVerdict
				return &o, row(&o.repositoryID, &o.Subject, &o.Carrier, &o.Basis, &o.Spread, &o.turn, &o.Repository, &o.Project,
					&o.Wanted, &o.Present, &o.Attached)
			})
		return err
	})
	return all, err
}

// SettleVerdict writes down in the transaction of what was done about it that nothing is owed any more, until then at
// least; the zero time is for ever. carrier states the verdict now, "" for nothing. ErrOvertaken if it was owed anew.
func SettleVerdict(tx *db.Tx, o *OwedVerdict, carrier, basis string, until time.Time) error {
	var due any
	if !until.IsZero() {
		due = until.UnixMicro()
	}
	query, args := `DELETE FROM attached_verdict WHERE repository_id = $1 AND subject = $2 AND turn = $3`, []any{o.repositoryID, o.Subject, o.turn}
	if carrier != "" || due != nil {
		query = `UPDATE attached_verdict SET carrier = $4, basis = $5, due_at = $6, attempts = 0, spread = FALSE
			WHERE repository_id = $1 AND subject = $2 AND turn = $3`
		args = append(args, carrier, basis, due)
	}
	if carrier != "" { // what another process has removed may be remembered here a little longer
		query += ` AND EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = $1 AND l.digest = $2)`
	}
	n, err := tx.Exec(query, args...)
	if err == nil && n == 0 {
		err = ErrOvertaken
	}
	return err
}

// KeepVerdict is SettleVerdict where nothing was to be done.
func (s *Store) KeepVerdict(ctx context.Context, o *OwedVerdict, carrier, basis string, until time.Time) error {
	return s.write(ctx, func(tx *db.Tx) error { return SettleVerdict(tx, o, carrier, basis, until) })
}

// VerdictsDue is when verdicts are next owed; false if none ever are.
func (s *Store) VerdictsDue(ctx context.Context) (time.Time, bool, error) {
	at, _, err := row(s.reads(ctx), `SELECT MIN(due_at) FROM (SELECT MIN(due_at) AS due_at FROM attached_verdict WHERE due_at IS NOT NULL
		UNION ALL SELECT MIN(due_at) FROM verdict_sweep) AS due`, nil, func(row func(...any) error) (at *int64, err error) { return at, row(&at) })
	return micros(at), at != nil, err
}
