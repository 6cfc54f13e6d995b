package store

import (
	"fmt"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// ownerlessNamed is how many projects a refusal or an audit row names.
const ownerlessNamed = 10

// ownerless are projects in which nobody who can log in would be owner.
type ownerless struct {
	Projects int      `json:"projects"`
	Names    []string `json:"names"` // of the first ones
}

// withoutOwner finds the projects that have no other owner who can log in than this account. Nobody changes their members
// until the transaction ends. The caller holds lockAdmins, so that of two such accounts the second one sees that the first
// has gone.
func withoutOwner(tx *db.Tx, accountID string) (*ownerless, error) {
	owner := string(core.RoleOwner)
	if _, err := tx.Exec(`UPDATE project SET updated_at = updated_at
		WHERE id IN (SELECT project_id FROM member WHERE account_id = $1 AND role = $2)`, accountID, owner); err != nil {
		return nil, err
	}
	names, err := rows(tx.Query, `SELECT p.name FROM member m JOIN project p ON p.id = m.project_id
		WHERE m.account_id = $1 AND m.role = $2 AND NOT EXISTS (SELECT 1 FROM member o JOIN account a ON a.id = o.account_id
			WHERE o.project_id = m.project_id AND o.role = $2 AND o.account_id <> $1 AND NOT a.disabled)
		ORDER BY p.name`, []any{accountID, owner}, scanText)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return &ownerless{Projects: len(names), Names: names[:min(len(names), ownerlessNamed)]}, nil
}

// refusal says which projects keep an account from being disabled or removed.
func (o *ownerless) refusal(username string) *core.Error {
	named := strings.Join(o.Names, ", ")
	if more := o.Projects - len(o.Names); more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return core.Errorf(core.CodeConflict, "%s is the last owner of %s: make somebody else owner there first, or repeat with "+
		"?leave_ownerless=true to leave them to the administrators", username, named)
}
