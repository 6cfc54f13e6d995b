package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Pull counts how often one principal pulled one manifest of a repository by one name on one day.
type Pull struct {
	Repository string // whole name
	Digest     string
	Tag        string // "" = by digest
	Principal  string // core.Principal.Actor
	Pulls      int64
	LastAt     time.Time
}

// pullBlock is how many rows one statement adds.
const pullBlock = 100

// Day is the day, in UTC, that a pull at a time belongs to: days since 1970-01-01.
func Day(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// pullKey is a row of the table pull.
type pullKey struct {
	repository, digest, tag, principal string
	day                                int64
}

// AddPulls adds pulls to the daily records and to the totals, in blocks of one transaction each. Those of a
// repository that is not there any more are forgotten. rest is what was not added because of the error: try it again later.
func (s *Store) AddPulls(ctx context.Context, pulls []Pull) (rest []Pull, err error) {
	sums := make(map[pullKey]Pull, len(pulls))
	for _, p := range pulls {
		k := pullKey{p.Repository, p.Digest, p.Tag, p.Principal, Day(p.LastAt)}
		was := sums[k]
		p.Pulls += was.Pulls
		if was.LastAt.After(p.LastAt) {
			p.LastAt = was.LastAt
		}
		sums[k] = p
	}
	// In one order everywhere, so that processes that add at the same time wait for each other instead of dead-locking.
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b pullKey) int {
		return cmp.Or(cmp.Compare(a.repository, b.repository), cmp.Compare(a.digest, b.digest), cmp.Compare(a.tag, b.tag),
			cmp.Compare(a.principal, b.principal), cmp.Compare(a.day, b.day))
	})
	for _, k := range keys {
		rest = append(rest, sums[k])
	}
	for len(rest) > 0 {
		block := rest[:min(pullBlock, len(rest))]
		if err := s.write(ctx, func(tx *db.Tx) error { return addPulls(tx, block) }); err != nil {
			return rest, err
		}
		rest = rest[len(block):]
	}
	return nil, nil
}

func addPulls(tx *db.Tx, pulls []Pull) error {
	var st statement
	st.add(`WITH fresh (repository, digest, tag, principal, day, pulls, last_at) AS (VALUES `)
	for i, p := range pulls {
		st.when(i > 0, `, `)
		st.add(`(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))`,
			p.Repository, p.Digest, p.Tag, p.Principal, Day(p.LastAt), p.Pulls, p.LastAt.UnixMicro())
	}
	st.add(`)`)
	values := st.text.String()
	if _, err := tx.Exec(values+` INSERT INTO pull (repository_id, digest, tag, principal, day, pulls, last_at)
		SELECT r.id, f.digest, f.tag, f.principal, f.day, f.pulls, f.last_at FROM fresh f JOIN repository r ON r.name = f.repository
		WHERE TRUE ORDER BY r.name, f.digest, f.tag, f.principal, f.day
		ON CONFLICT (repository_id, digest, tag, principal, day) DO UPDATE SET pulls = pull.pulls + excluded.pulls,
		last_at = CASE WHEN pull.last_at > excluded.last_at THEN pull.last_at ELSE excluded.last_at END`, st.args...); err != nil {
		return err
	}
	_, err := tx.Exec(values+` INSERT INTO pull_total (repository_id, digest, pulls, last_at)
		SELECT r.id, f.digest, SUM(f.pulls), MAX(f.last_at) FROM fresh f JOIN repository r ON r.name = f.repository
		WHERE TRUE GROUP BY r.id, r.name, f.digest ORDER BY r.name, f.digest
		ON CONFLICT (repository_id, digest) DO UPDATE SET pulls = pull_total.pulls + excluded.pulls,
		last_at = CASE WHEN pull_total.last_at > excluded.last_at THEN pull_total.last_at ELSE excluded.last_at END`, st.args...)
	return err
}

// PullsSince adds up the pulls of a project by manifest, name and principal since a day, the most frequent first and at most
// n; more says that there are further ones. Principals have the names of now; whoever is gone has kind and id.
func (s *Store) PullsSince(ctx context.Context, p *core.Project, since time.Time, n int) (all []Pull, more bool, err error) {
	all, err = rows(s.reads(ctx), `SELECT r.name, u.digest, u.tag, COALESCE(a.username, 'robot$' || rp.name || '+' || ro.name, u.principal), SUM(u.pulls)
		FROM pull u JOIN repository r ON r.id = u.repository_id
		LEFT JOIN account a ON a.id = SUBSTR(u.principal, 6) -- behind user:
		LEFT JOIN robot ro ON ro.id = SUBSTR(u.principal, 7) -- behind robot:
		LEFT JOIN project rp ON rp.id = ro.project_id
		WHERE r.project_id = $1 AND u.day >= $2 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT $3`, []any{p.ID, Day(since), n + 1},
		func(row func(...any) error) (u Pull, err error) {
			return u, row(&u.Repository, &u.Digest, &u.Tag, &u.Principal, &u.Pulls)
		})
	if len(all) > n {
		return all[:n], true, err
	}
	return all, false, err
}
