package store

import (
	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Event is what has happened to something.
type Event struct {
	ID        string
	Type      string
	ProjectID string // "": the hub
	Subject   string
	Data      string // JSON
}

// ChangeEvent is published when something happened that somebody may want to be told. It has no key.
const ChangeEvent = "event"

// SaveEvent writes an event in the transaction of its cause, by whoever caused it.
func SaveEvent(tx *db.Tx, e Event) error {
	_, err := tx.Exec(`INSERT INTO event (id, type, project_id, subject, actor, data, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		e.ID, e.Type, e.ProjectID, e.Subject, core.PrincipalFrom(tx.Context()).Actor(), e.Data, tx.Now())
	if err == nil {
		tx.Changed(ChangeEvent, "")
	}
	return err
}
