package store

import (
	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// AnyRevision, given where a revision is asked for, changes a row whatever its revision is ("If-Match: *").
const AnyRevision int64 = -1

// checkRevision compares the revision of a row with the one the caller has read. 0 says that the caller read none: then
// it may create but not change.
func checkRevision(what string, have, want int64) error {
	switch want {
	case AnyRevision, have:
		return nil
	case 0:
		return core.Errorf(core.CodeIfMatchRequired, "%s is there already: read it, and send its ETag as If-Match to change it", what)
	}
	return stale(what)
}

func stale(what string) *core.Error {
	return core.Errorf(core.CodeStale, "%s was changed by somebody else since you read it: read it again, then repeat your change", what)
}

// exactly turns "no row changed" into a refusal.
func exactly(n int64, err error, otherwise *core.Error) error {
	if err != nil {
		return err
	}
	if n == 0 {
		return otherwise
	}
	return nil
}

// lockProject makes transactions that change rights in a project wait for each other, and makes sure that it is there.
// Without it two owners could leave at the same time and none would be left.
func lockProject(tx *db.Tx, p *core.Project) error {
	n, err := tx.Exec(`UPDATE project SET updated_at = updated_at WHERE id = $1`, p.ID)
	return exactly(n, err, noProject(p.Name))
}

// lockAdmins makes transactions that may take away an administrator wait for each other.
func lockAdmins(tx *db.Tx) error {
	_, err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('lock:admins', '') ON CONFLICT (key) DO UPDATE SET value = ''`)
	return err
}
