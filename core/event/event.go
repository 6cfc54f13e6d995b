package event

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Type is what happened. Receivers know it as io.hallmark. and this.
type Type string

// The types. The set is closed.
const (
	ArtifactPushed     Type = "artifact.pushed"
	ArtifactDeleted    Type = "artifact.deleted"
	ArtifactScanned    Type = "artifact.scanned"    // a scan ended, with or without a report
	ArtifactVulnerable Type = "artifact.vulnerable" // newer data found what was not found before, in what did not change
)

// Event is what happened to something.
type Event struct {
	Type    Type
	Project string // id; "" is the hub
	Subject string // what it happened to: repository@digest, or repository:tag
	Data    any    // becomes JSON; never a secret
}

// Write writes an event down, in the transaction of what caused it.
func Write(tx *db.Tx, e Event) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return fmt.Errorf("an event %s cannot be written: %w", e.Type, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return store.SaveEvent(tx, store.Event{ID: id.String(), Type: string(e.Type), ProjectID: e.Project, Subject: e.Subject, Data: string(data)})
}
