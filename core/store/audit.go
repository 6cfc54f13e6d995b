package store

import (
	"context"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core/db"
)

// AuditEntry is one thing that somebody did.
type AuditEntry struct {
	ID         string
	At         time.Time
	Actor      string // kind:id
	ActorName  string // at that time
	Credential string
	IP         string
	RequestID  string
	Action     string
	ProjectID  string // "" for what concerns the hub
	Project    string // its name, "" too when it is not there any more
	Object     string
	Detail     string // JSON or ""
}

// AuditQuery asks for a page of the audit trail, newest first. Empty fields do not filter.
type AuditQuery struct {
	Actor     string // a name, or kind:id
	Action    string // "project.create", or "project.*" for all of a noun
	ProjectID string
	Object    string // exactly
	Since     time.Time
	Until     time.Time // before
	Before    string    // id of the last one of the page before
	N         int       // at most so many; 0: 50, never more than 1,000
}

// auditSkew is how far the clock in an id may be from that of the entry's time.
const auditSkew = 10 * time.Minute

// AuditEntries lists the audit trail; more says that there are further ones.
func (s *Store) AuditEntries(ctx context.Context, q AuditQuery) (entries []AuditEntry, more bool, err error) {
	var st statement
	st.add(`SELECT a.id, a.at, a.actor, a.actor_name, a.credential, a.ip, a.request_id, a.action, COALESCE(a.project_id, ''),
		COALESCE(p.name, ''), a.object, a.detail FROM audit a LEFT JOIN project p ON p.id = a.project_id WHERE TRUE`)
	st.when(q.Before != "", ` AND a.id < ?`, q.Before)
	st.when(q.ProjectID != "", ` AND a.project_id = ?`, q.ProjectID)
	st.when(q.Actor != "", ` AND (a.actor = ? OR a.actor_name = ?)`, q.Actor, q.Actor)
	if noun, all := strings.CutSuffix(q.Action, "*"); all && strings.HasSuffix(noun, ".") {
		// Not by comparing: what comes after what is up to the collation of the database.
		st.add(` AND SUBSTR(a.action, 1, ?) = ?`, utf8.RuneCountInString(noun), noun)
	} else {
		st.when(q.Action != "", ` AND a.action = ?`, q.Action)
	}
	st.when(q.Object != "", ` AND a.object = ?`, q.Object)
	// Ids are in order of time: they bound what has to be looked at.
	st.when(!q.Since.IsZero(), ` AND a.at >= ? AND a.id >= ?`, q.Since.UnixMicro(), firstID(q.Since.Add(-auditSkew)))
	st.when(!q.Until.IsZero(), ` AND a.at < ? AND a.id < ?`, q.Until.UnixMicro(), firstID(q.Until.Add(auditSkew)))
	st.add(` ORDER BY a.id DESC`)
	return page(s.reads(ctx), &st, q.N, scanAudit)
}

func scanAudit(row func(...any) error) (e AuditEntry, err error) {
	var at int64
	err = row(&e.ID, &at, &e.Actor, &e.ActorName, &e.Credential, &e.IP, &e.RequestID, &e.Action, &e.ProjectID, &e.Project, &e.Object, &e.Detail)
	e.At = db.Time(at)
	return e, err
}

// firstID is not greater than any id that NewID makes from t on.
func firstID(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	b := []byte{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms)}
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:] + "-0000-0000-000000000000"
}
