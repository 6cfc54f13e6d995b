package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Actions of the audit trail that tell of reads. What is allowed because it is trusted is counted as a pull and no more.
const (
	PullRefused     = "pull.refused"
	PullExempted    = "pull.exempted"    // not trusted, and served to somebody who is excepted
	PullUnsatisfied = "pull.unsatisfied" // served, though a policy with mode audit is not satisfied
)

// GateRead is what the trust gate did to a read, and why.
type GateRead struct {
	Action     string
	Repository string // whole name; "" with Digest: of those that are not told apart any more
	Digest     string
	Reason     string
}

// GateReads are reads of one party that came to the same.
type GateReads struct {
	GateRead
	By       core.Principal // Kind, ID, Name and Credential
	Origin   core.Origin    // of the first
	Count    int64
	From, To time.Time
}

// gateReadBlock is how many rows one statement adds.
const gateReadBlock = 100

// AddGateReads writes a row of the audit trail for each, in blocks of one transaction each. rest is what was not written
// because of the error: try it again later.
func (s *Store) AddGateReads(ctx context.Context, reads []GateReads) (rest []GateReads, err error) {
	for rest = reads; len(rest) > 0; {
		block := rest[:min(gateReadBlock, len(rest))]
		if err := s.write(ctx, func(tx *db.Tx) error { return addGateReads(tx, block) }); err != nil {
			return rest, err
		}
		rest = rest[len(block):]
	}
	return nil, nil
}

// gateReadDetail is what such a row says besides who and what.
type gateReadDetail struct {
	Digest string    `json:"digest,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Count  int64     `json:"count"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Merged bool      `json:"merged,omitempty"` // further ones, of several repositories, digests or reasons
}

func addGateReads(tx *db.Tx, reads []GateReads) error {
	var st statement
	st.add(`WITH fresh (id, actor, actor_name, credential, ip, request_id, action, project, object, detail) AS (VALUES `)
	for i, r := range reads {
		b, err := json.Marshal(gateReadDetail{r.Digest, r.Reason, r.Count, r.From.UTC(), r.To.UTC(), r.Digest == ""})
		if err != nil {
			return err
		}
		object := ""
		if r.Digest != "" {
			object = r.Repository + "@" + r.Digest
		}
		project, _, _ := strings.Cut(r.Repository, "/")
		st.when(i > 0, `, `)
		st.add(`(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))`,
			NewID(), r.By.Actor(), r.By.Name, r.By.Credential, r.Origin.IP, r.Origin.RequestID, r.Action, project, object, string(b))
	}
	st.add(`) INSERT INTO audit (id, at, actor, actor_name, credential, ip, request_id, action, project_id, object, detail)
		SELECT f.id, CAST(? AS BIGINT), f.actor, f.actor_name, f.credential, f.ip, f.request_id, f.action, p.id, f.object, f.detail
		FROM fresh f LEFT JOIN project p ON p.name = f.project`, tx.Now())
	_, err := tx.Exec(st.text.String(), st.args...)
	return err
}
