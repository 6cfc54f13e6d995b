package store

import "context"

// JobRuns reports whether a try of a job is under way: nobody has ended or cancelled it, and its worker is alive as far as
// anybody knows.
func (s *Store) JobRuns(ctx context.Context, id, kind string, fence int64) (bool, error) {
	_, runs, err := row(s.reads(ctx), `SELECT id FROM job WHERE id = $1 AND kind = $2 AND fence = $3 AND state = 'running' AND NOT cancel AND lease_until > $4`,
		[]any{id, kind, fence, s.Now().UnixMicro()}, scanText)
	return runs, err
}
