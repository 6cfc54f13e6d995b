package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
)

// Holding lists the whole names of repositories that have a manifest, in byte order and at most n: of all projects, else
// of the public ones and those named.
func (s *Store) Holding(ctx context.Context, digest string, all bool, projects []string, n int) ([]string, error) {
	var st statement
	st.add(`SELECT r.name FROM manifest_link l JOIN repository r ON r.id = l.repository_id JOIN project p ON p.id = r.project_id
		WHERE l.digest = ?`, digest)
	if !all {
		st.add(` AND (p.visibility = ?`, string(core.Public))
		if len(projects) > 0 {
			st.add(` OR p.name IN `)
			st.in(projects)
		}
		st.add(`)`)
	}
	st.add(` ORDER BY r.name`)
	found, _, err := page(s.reads(ctx), &st, n, scanText)
	return found, err
}
