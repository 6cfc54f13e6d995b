package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// touchBatch is how many rows one transaction updates, so that it stays short.
const touchBatch = 256

// touch runs an update of (id, time) for each entry, in the order of ids so that replicas do not block each other.
func (s *Store) touch(ctx context.Context, query string, used map[string]time.Time) error {
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(used)), touchBatch) {
		err := s.write(ctx, func(tx *db.Tx) error {
			for _, id := range ids {
				if _, err := tx.Exec(query, id, used[id].UnixMicro()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
