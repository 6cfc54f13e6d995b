package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Store holds all SQL of the domain. Its methods may be called concurrently. What can be refused for a reason that a
// person should hear returns *core.Error.
type Store struct {
	db *db.DB
}

// New makes a Store on an open database whose schema is up to date.
func New(d *db.DB) *Store { return &Store{db: d} }

// DB is the handle below, for rooms that write their own rows in the same transaction.
func (s *Store) DB() *db.DB { return s.db }

// Now is the time of the database.
func (s *Store) Now() time.Time { return s.db.Now() }

// NewID makes an id for a row: UUIDv7, so that ids of one process are in order of time.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Kinds of db.Change that this room publishes; others add their own (registry/local). The key is the id of the row unless
// said otherwise.
const (
	ChangeAccount = "account" // also when its tokens, sessions or memberships changed
	ChangeProject = "project" // key: the name; also when members changed
	ChangeRobot   = "robot"
	ChangeSecret  = "secret" // a key of the hub; key: its purpose
)

// write runs f in a transaction.
func (s *Store) write(ctx context.Context, f func(tx *db.Tx) error) error {
	return told(s.db.Write(ctx, f))
}

// errNobody is a mistake of whoever wrote the code, and no refusal: even the hub's own work has a principal (core.System).
var errNobody = errors.New("a change by nobody: its context carries no principal")

// Audit writes an audit row in the transaction of the change it tells of. projectID is "" for changes of the hub. A trail
// that does not say who is none: without a principal the change is not made.
func Audit(tx *db.Tx, action, projectID, object, detail string) error {
	p, o := core.PrincipalFrom(tx.Context()), core.OriginFrom(tx.Context())
	if p.Kind == "" {
		return fmt.Errorf("%s: %w", action, errNobody)
	}
	var project any
	if projectID != "" {
		project = projectID
	}
	_, err := tx.Exec(`INSERT INTO audit (id, at, actor, actor_name, credential, ip, request_id, action, project_id, object, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		NewID(), tx.Now(), p.Actor(), p.Name, p.Credential, o.IP, o.RequestID, action, project, object, detail)
	return err
}
