package store

import (
	"context"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

const (
	maxExceptions      = 1000 // of a project, those included that have ended
	maxExceptionID     = 128  // bytes of a vulnerability's id
	maxExceptionPURL   = 1024
	maxExceptionReason = 1024
	// maxExceptionLife is a year, whichever: nobody answers for what he does not look at again.
	maxExceptionLife = 366 * 24 * time.Hour
	exceptionColumns = `id, vulnerability, purl, repository, reason, expires_at, created_by, created_at`
)

func scanException(row func(...any) error) (*core.Exception, error) {
	var x core.Exception
	var expires, created int64
	err := row(&x.ID, &x.Vulnerability, &x.PURL, &x.Repository, &x.Reason, &expires, &x.CreatedBy, &created)
	x.ExpiresAt, x.CreatedAt = db.Time(expires), db.Time(created)
	return &x, err
}

// NewException is what CreateException needs. PURL is normalised by whoever calls.
type NewException struct {
	Vulnerability string    `json:"vulnerability"`
	PURL          string    `json:"purl,omitempty"`
	Repository    string    `json:"repository,omitempty"` // whole name; "": all of the project
	Reason        string    `json:"reason"`
	ExpiresAt     time.Time `json:"expires_at"`
}

func (n *NewException) check(p *core.Project, now time.Time) error {
	if n.Vulnerability == "" || len(n.Vulnerability) > maxExceptionID || strings.ContainsAny(n.Vulnerability, " \t\r\n") {
		return core.Invalid("/vulnerability", "vulnerability is the id of one, such as CVE-2024-3094")
	}
	if strings.TrimSpace(n.Reason) == "" {
		return core.Invalid("/reason", "say why this vulnerability does no harm here: who reads the exception later wants to know")
	}
	if n.Repository != "" && !strings.HasPrefix(n.Repository, p.Name+"/") {
		return core.Invalid("/repository", "repository is the whole name of one of the project: %s/NAME", p.Name)
	}
	if life := n.ExpiresAt.Sub(now); life <= 0 || life > maxExceptionLife {
		return core.Invalid("/expires_at", "an exception ends on a day that is still to come, within a year")
	}
	for pointer, text := range map[string]string{"/vulnerability": n.Vulnerability, "/repository": n.Repository, "/purl": n.PURL} {
		if err := checkLine(pointer, text, maxExceptionPURL); err != nil {
			return err
		}
	}
	return checkLine("/reason", n.Reason, maxExceptionReason)
}

// CreateException makes an exception of a project. It holds from the next pull on.
func (s *Store) CreateException(ctx context.Context, p *core.Project, n NewException) (x *core.Exception, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		if err := n.check(p, db.Time(tx.Now())); err != nil {
			return err
		}
		if err := lockProject(tx, p); err != nil {
			return err
		}
		var made bool
		x, made, err = row(tx.Query, `INSERT INTO vulnerability_exception (id, project_id, vulnerability, purl, repository, reason, expires_at, created_by, created_at)
			SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BIGINT), CAST($8 AS TEXT), CAST($9 AS BIGINT)
			WHERE (SELECT COUNT(*) FROM vulnerability_exception WHERE project_id = $2) < CAST($10 AS BIGINT) RETURNING `+exceptionColumns,
			[]any{NewID(), p.ID, n.Vulnerability, n.PURL, n.Repository, n.Reason, n.ExpiresAt.UnixMicro(), core.PrincipalFrom(ctx).Name, tx.Now(), maxExceptions}, scanException)
		if err == nil && !made {
			err = core.Errorf(core.CodeLimit, "project %s has %d exceptions already, and more are not allowed: delete those that have ended", p.Name, maxExceptions)
		}
		if err != nil {
			return err
		}
		return exceptionChanged(tx, p, "exception.create", x)
	})
	return x, err
}

// exceptionChanged has all verdicts of the project made anew, and says who did it.
func exceptionChanged(tx *db.Tx, p *core.Project, action string, x *core.Exception) error {
	tx.Changed(ChangeTrust, p.Name)
	if err := sweepScope(tx, p.ID); err != nil {
		return err
	}
	return Audit(tx, action, p.ID, p.Name+"/"+x.ID, detail(NewException{Vulnerability: x.Vulnerability, PURL: x.PURL, Repository: x.Repository,
		Reason: x.Reason, ExpiresAt: x.ExpiresAt}))
}

func noException(p *core.Project, id string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no exception %q in project %s", id, p.Name)
}

func exceptionOf(q querier, p *core.Project, id string) (*core.Exception, error) {
	x, found, err := row(q, `SELECT `+exceptionColumns+` FROM vulnerability_exception WHERE project_id = $1 AND id = $2`, []any{p.ID, id}, scanException)
	if err == nil && !found {
		err = noException(p, id)
	}
	return x, err
}

// Exception returns one of a project. CodeNotFound if there is none.
func (s *Store) Exception(ctx context.Context, p *core.Project, id string) (*core.Exception, error) {
	return exceptionOf(s.reads(ctx), p, id)
}

// Exceptions lists those of a project in the order in which they were made, at most n (0: 50) after the one with the given id,
// of one vulnerability if it is not ""; more says that there are further ones. Those that have ended are among them.
func (s *Store) Exceptions(ctx context.Context, p *core.Project, vulnerability, after string, n int) (all []*core.Exception, more bool, err error) {
	var st statement
	st.add(`SELECT `+exceptionColumns+` FROM vulnerability_exception WHERE project_id = ? AND id > ?`, p.ID, after)
	if vulnerability != "" {
		st.add(` AND UPPER(vulnerability) = UPPER(?)`, vulnerability)
	}
	st.add(` ORDER BY id`)
	return page(s.reads(ctx), &st, n, scanException)
}

// DeleteException takes one back. It holds no more from the next pull on.
func (s *Store) DeleteException(ctx context.Context, p *core.Project, id string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		if err := lockProject(tx, p); err != nil {
			return err
		}
		x, err := exceptionOf(tx.Query, p, id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM vulnerability_exception WHERE project_id = $1 AND id = $2`, p.ID, id); err != nil {
			return err
		}
		return exceptionChanged(tx, p, "exception.delete", x)
	})
}

// exceptionKind stands where a TrustDocument has its kind.
const exceptionKind TrustKind = "exception"

// exceptionsOf reads those of a project in the columns of documents: what a decision asks for, and no reasons.
func exceptionsOf(scope string) string {
	return ` UNION ALL SELECT 'exception', FALSE, id, vulnerability || '
' || purl || '
' || repository, created_at, expires_at, 0 FROM vulnerability_exception WHERE project_id = ` + scope
}

func parseException(d *TrustDocument) core.Exception {
	vulnerability, rest, _ := strings.Cut(d.Document, "\n") // none of them has a line break
	purl, repository, _ := strings.Cut(rest, "\n")
	return core.Exception{ID: d.Name, Vulnerability: vulnerability, PURL: purl, Repository: repository, CreatedAt: d.CreatedAt, ExpiresAt: d.UpdatedAt}
}
