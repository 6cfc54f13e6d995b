package store

import (
	"time"

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

	// Of one that was read.
	Project   string // the name; "" too when it is not there any more
	Actor     string
	CreatedAt time.Time
}

// ChangeEvent is published when something happened that somebody wants to be told. It has no key.
const ChangeEvent = "event"

// Types of the events that this room writes itself; all others, and what each says, are in core/event.
const (
	EventProjectCreated = "project.created"
	EventProjectDeleted = "project.deleted"
	EventPolicyChanged  = "policy.changed"
	EventSigned         = "artifact.signed"
	EventKeyRevoked     = "key.revoked"
	EventJobDead        = "job.dead"
)

// maxEvent is how many bytes of data an event has; with more it has none but that it is so. What happened has happened: its
// transaction does not fail because somebody else would be told much.
const maxEvent = 128 << 10

// subscribed is whether anybody is told what happens in a project ($1).
const subscribed = `EXISTS (SELECT 1 FROM webhook WHERE scope IN ('', $1) AND NOT paused)`

// Subscribed reports whether anybody is told what happens in a project, or to the hub: whoever would write several events asks first.
func Subscribed(tx *db.Tx, project string) (yes bool, err error) {
	err = tx.QueryRow(`SELECT `+subscribed, project).Scan(&yes)
	return yes, err
}

// SaveEvent writes an event in the transaction of its cause, by whoever caused it, if anybody is told of it.
func SaveEvent(tx *db.Tx, e Event) error {
	if len(e.Data) > maxEvent {
		e.Data = `{"too_large":true}`
	}
	n, err := tx.Exec(`INSERT INTO event (project_id, id, type, subject, actor, data, created_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BIGINT) WHERE `+subscribed,
		e.ProjectID, e.ID, e.Type, e.Subject, core.PrincipalFrom(tx.Context()).Actor(), e.Data, tx.Now())
	if err == nil && n > 0 {
		tx.Changed(ChangeEvent, "")
	}
	return err
}

// named is all there is to say of what has a name and nothing more.
type named struct {
	Name string `json:"name"`
}

// tell is SaveEvent for what this room does itself.
func tell(tx *db.Tx, event, project, subject string, data any) error {
	return SaveEvent(tx, Event{ID: NewID(), Type: event, ProjectID: project, Subject: subject, Data: detail(data)})
}
