package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// DeliveryState is what became of telling somebody.
type DeliveryState string

// The states.
const (
	DeliveryWaiting   DeliveryState = "waiting"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
)

// Delivery is one event for one webhook.
type Delivery struct {
	ID       string
	Webhook  string // id
	State    DeliveryState
	Attempts int64
	Status   int64 // of HTTP, of the last answer; 0: there was none
	Error    string
	Answer   string // its first bytes
	DueAt    time.Time
	TriedAt  time.Time
	Event
}

const deliveryColumns = `d.id, d.webhook_id, d.state, d.attempts, d.status, d.error, d.answer, d.due_at, d.tried_at,
	e.id, e.type, e.project_id, COALESCE(p.name, ''), e.subject, e.actor, e.data, e.created_at
	FROM delivery d JOIN event e ON e.id = d.event_id LEFT JOIN project p ON p.id = e.project_id`

func scanDelivery(row func(...any) error) (*Delivery, error) {
	var d Delivery
	var due, tried, created int64
	err := row(&d.ID, &d.Webhook, &d.State, &d.Attempts, &d.Status, &d.Error, &d.Answer, &due, &tried,
		&d.Event.ID, &d.Type, &d.ProjectID, &d.Project, &d.Subject, &d.Actor, &d.Data, &created)
	d.DueAt, d.CreatedAt = db.Time(due), db.Time(created)
	if tried != 0 {
		d.TriedAt = db.Time(tried)
	}
	return &d, err
}

// Deliveries lists what a webhook was told, newest first, after the id before ("" from the newest); more says that there are further ones.
func (s *Store) Deliveries(ctx context.Context, w *Webhook, before string, n int) (all []*Delivery, more bool, err error) {
	var st statement
	st.add(`SELECT `+deliveryColumns+` WHERE d.webhook_id = ?`, w.ID)
	st.when(before != "", ` AND d.id < ?`, before)
	st.add(` ORDER BY d.id DESC`)
	return page(s.reads(ctx), &st, n, scanDelivery)
}

// DueDeliveries returns what is to be sent to a webhook now, the oldest first: that of the id alone unless it is "".
func (s *Store) DueDeliveries(ctx context.Context, webhook, id string, n int) ([]*Delivery, error) {
	var st statement
	st.add(`SELECT `+deliveryColumns+` WHERE d.webhook_id = ? AND d.state = 'waiting' AND d.due_at <= ?`, webhook, s.db.Micros())
	st.when(id != "", ` AND d.id = ?`, id)
	st.add(` ORDER BY d.id LIMIT ?`, n)
	return rows(s.reads(ctx), st.text.String(), st.args, scanDelivery)
}

// Tried is how an attempt to deliver ended.
type Tried struct {
	State  DeliveryState
	Status int64
	Error  string
	Answer string
	DueAt  time.Time // the next attempt, of one that waits
}

// EndTry writes how an attempt ended, unless somebody else has ended the delivery meanwhile.
func EndTry(tx *db.Tx, id string, t Tried) error {
	_, err := tx.Exec(`UPDATE delivery SET state = $2, status = $3, error = $4, answer = $5, due_at = $6, tried_at = $7, attempts = attempts + 1
		WHERE id = $1 AND state = 'waiting'`, id, string(t.State), t.Status, t.Error, t.Answer, max(t.DueAt.UnixMicro(), 0), tx.Now())
	return err
}

// EndWaiting ends everything that waits for a webhook, because of why.
func EndWaiting(tx *db.Tx, webhook, why string) error {
	_, err := tx.Exec(`UPDATE delivery SET state = 'failed', error = $2 WHERE webhook_id = $1 AND state = 'waiting'`, webhook, why)
	return err
}

// NextDue is when a webhook is to be told something next.
func NextDue(tx *db.Tx, webhook string) (at time.Time, any bool, err error) {
	var due *int64
	err = tx.QueryRow(`SELECT MIN(due_at) FROM delivery WHERE webhook_id = $1 AND state = 'waiting'`, webhook).Scan(&due)
	return micros(due), due != nil, err
}

// Redeliver lets a delivery of a webhook begin anew, with all its attempts. also runs in the same transaction.
func (s *Store) Redeliver(ctx context.Context, w *Webhook, id string, also func(tx *db.Tx) error) (d *Delivery, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE delivery SET state = 'waiting', attempts = 0, due_at = $3 WHERE webhook_id = $1 AND id = $2`, w.ID, id, tx.Now())
		if err := exactly(n, err, core.Errorf(core.CodeNotFound, "there is no such delivery: they are kept for 30 days")); err != nil {
			return err
		}
		if d, _, err = row(tx.Query, `SELECT `+deliveryColumns+` WHERE d.id = $1`, []any{id}, scanDelivery); err != nil {
			return err
		}
		if err := also(tx); err != nil {
			return err
		}
		return Audit(tx, "webhook.redeliver", w.Scope, w.Name, detail(struct {
			Delivery string `json:"delivery"`
		}{id}))
	})
	return d, err
}

// Stuck is a delivery that has been due for long, with as much of its webhook as a job is made of.
type Stuck struct {
	ID    string
	DueAt time.Time
	To    Webhook
}

// StuckDeliveries returns up to n deliveries that have been due since before without anybody having tried.
func (s *Store) StuckDeliveries(ctx context.Context, before time.Time, n int) ([]Stuck, error) {
	return rows(s.reads(ctx), `SELECT d.id, d.due_at, w.id, w.channel, w.host FROM delivery d JOIN webhook w ON w.id = d.webhook_id
		WHERE d.state = 'waiting' AND d.due_at < $1 ORDER BY d.due_at LIMIT $2`, []any{before.UnixMicro(), n},
		func(row func(...any) error) (x Stuck, err error) {
			var due int64
			err = row(&x.ID, &due, &x.To.ID, &x.To.Channel, &x.To.Host)
			x.DueAt = db.Time(due)
			return x, err
		})
}

// NewEvents returns up to n events that nobody has looked for receivers of yet, the oldest first.
func (s *Store) NewEvents(ctx context.Context, n int) ([]Event, error) {
	return rows(s.reads(ctx), `SELECT e.id, e.type, e.project_id, COALESCE(p.name, ''), e.subject, e.actor, e.data, e.created_at
		FROM event e LEFT JOIN project p ON p.id = e.project_id WHERE NOT e.dispatched ORDER BY e.id LIMIT $1`, []any{n},
		func(row func(...any) error) (e Event, err error) {
			var created int64
			err = row(&e.ID, &e.Type, &e.ProjectID, &e.Project, &e.Subject, &e.Actor, &e.Data, &created)
			e.CreatedAt = db.Time(created)
			return e, err
		})
}

// ActiveWebhooks returns those of the projects and of the hub that are not paused.
func (s *Store) ActiveWebhooks(ctx context.Context, projects []string) ([]*Webhook, error) {
	var st statement
	st.add(`SELECT ` + webhookColumns + ` FROM webhook WHERE NOT paused AND scope IN `)
	st.in(append([]string{""}, projects...))
	st.add(` ORDER BY id`)
	return rows(s.reads(ctx), st.text.String(), st.args, scanWebhook)
}

// Dispatched notes who is told of an event, the ids of webhooks, and hands each delivery to made. Again it does nothing.
func Dispatched(tx *db.Tx, event string, to []*Webhook, due time.Duration, made func(w *Webhook, delivery string, at time.Time) error) error {
	n, err := tx.Exec(`UPDATE event SET dispatched = TRUE WHERE id = $1 AND NOT dispatched`, event)
	if err != nil || n == 0 {
		return err
	}
	for _, w := range to {
		id, at := NewID(), tx.Now()
		if w.Channel != ChannelHTTP {
			at += due.Microseconds()
		}
		n, err := tx.Exec(`INSERT INTO delivery (id, webhook_id, event_id, state, due_at, created_at)
			SELECT CAST($1 AS TEXT), id, CAST($3 AS TEXT), 'waiting', CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM webhook WHERE id = $2
			ON CONFLICT (webhook_id, event_id) DO NOTHING`, id, w.ID, event, at, tx.Now())
		if err != nil {
			return err
		}
		if n > 0 {
			if err := made(w, id, db.Time(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropEvents removes up to n events from before that nobody waits to be told of, with the record of who was.
func DropEvents(tx *db.Tx, before time.Time, n int) (int64, error) {
	// Ids are in order of time: the oldest are the first.
	return tx.Exec(`DELETE FROM event WHERE id IN (SELECT e.id FROM event e WHERE e.id < $1 AND e.dispatched
		AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = e.id AND d.state = 'waiting') ORDER BY e.id LIMIT $2)`, firstID(before), n)
}
