package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Secret is one of the hub's own keys. Value never goes into a log, an error or an answer.
type Secret struct {
	ID        string
	Value     []byte
	CreatedAt time.Time
	RetireAt  time.Time // from then on it only verifies what it made; zero: it is the current one
}

// Secrets returns the keys of a purpose, oldest first: the current one is last. One that does not open under the master
// key is an error, since CheckMasterKey has shown that the key is right.
func (s *Store) Secrets(ctx context.Context, k *seal.Keyring, purpose string) ([]Secret, error) {
	box := secretBox(k, purpose)
	var out []Secret
	err := s.db.Query(ctx, `SELECT id, sealed, created_at, retire_at FROM secret WHERE purpose = $1
		ORDER BY retire_at IS NULL, retire_at, created_at`, []any{purpose}, func(scan func(...any) error) error {
		var sec Secret
		var sealed []byte
		var created int64
		var retire *int64
		if err := scan(&sec.ID, &sealed, &created, &retire); err != nil {
			return err
		}
		sec.CreatedAt, sec.RetireAt = db.Time(created), micros(retire)
		var err error
		if sec.Value, err = box.Open(sealed, secretPlace(sec.ID)); err != nil {
			return fmt.Errorf("key %s of purpose %s: %w", sec.ID, purpose, err)
		}
		out = append(out, sec)
		return nil
	})
	return out, err
}

// EnsureSecret returns the keys of a purpose as Secrets does, after it has made the first one with value, if there was
// none. When several processes start at once they agree on one key.
func (s *Store) EnsureSecret(ctx context.Context, k *seal.Keyring, purpose string, value []byte) ([]Secret, error) {
	have, err := s.Secrets(ctx, k, purpose)
	if err != nil || len(have) > 0 {
		return have, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		n, err := insertSecret(tx, k, purpose, NewID(), value)
		if err != nil || n == 0 {
			return err
		}
		return Audit(tx, "key.create", "", purpose, "")
	})
	if err != nil {
		return nil, err
	}
	return s.Secrets(ctx, k, purpose)
}

// RotateSecret makes value the current key of a purpose. The one before it goes on signing for lead, until every
// process knows the new one, and is kept to verify with; those that retired longer than keep ago are removed.
func (s *Store) RotateSecret(ctx context.Context, k *seal.Keyring, purpose string, value []byte, lead, keep time.Duration) (string, error) {
	id := NewID()
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		if _, err := tx.Exec(`UPDATE secret SET retire_at = $2 WHERE purpose = $1 AND retire_at IS NULL`, purpose, now+lead.Microseconds()); err != nil {
			return err
		}
		n, err := insertSecret(tx, k, purpose, id, value)
		if err != nil {
			return err
		}
		if n == 0 {
			return core.Errorf(core.CodeConflict, "the key was rotated by somebody else at the same moment; it is a new one now")
		}
		if _, err := tx.Exec(`DELETE FROM secret WHERE purpose = $1 AND retire_at < $2`, purpose, now-keep.Microseconds()); err != nil {
			return err
		}
		tx.Changed(ChangeSecret, purpose)
		return Audit(tx, "key.rotate", "", purpose, "")
	})
	return id, err
}

// insertSecret inserts the current key of a purpose, unless there is one (index secret_current).
func insertSecret(tx *db.Tx, k *seal.Keyring, purpose, id string, value []byte) (int64, error) {
	return tx.Exec(`INSERT INTO secret (id, purpose, sealed, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		id, purpose, secretBox(k, purpose).Seal(value, secretPlace(id)), tx.Now())
}

func secretBox(k *seal.Keyring, purpose string) *seal.Box { return k.Box("secret/" + purpose) }

func secretPlace(id string) seal.Place { return seal.Place{Table: "secret", Row: id, Column: "sealed"} }

// HubID is what tells this hub from others, also from those that share a server with it. It is made once and never changes.
func (s *Store) HubID(ctx context.Context) (string, error) {
	id, found, err := row(s.reads(ctx), hubID, nil, scanText)
	if err != nil || found {
		return id, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('hub_id', $1) ON CONFLICT (key) DO NOTHING`, NewID())
		return err
	})
	if err != nil {
		return "", err
	}
	id, _, err = row(s.reads(ctx), hubID, nil, scanText) // of whoever was first
	return id, err
}

const hubID = `SELECT value FROM meta WHERE key = 'hub_id'`

// masterCheck is what is sealed into meta to recognise the master key by.
const masterCheck = "this hub was started with this master key"

// CheckMasterKey refuses another master key than the one the hub was first started with. The first call remembers it.
func (s *Store) CheckMasterKey(ctx context.Context, k *seal.Keyring) error {
	box, at := k.Box("meta"), seal.Place{Table: "meta", Row: "master_key", Column: "value"}
	text, err := s.masterCheckText(ctx)
	if errors.Is(err, db.ErrNoRows) {
		fresh := base64.StdEncoding.EncodeToString(box.Seal([]byte(masterCheck), at))
		err = s.write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('master_key', $1) ON CONFLICT (key) DO NOTHING`, fresh)
			return err
		})
		if err == nil {
			text, err = s.masterCheckText(ctx) // of whoever was first
		}
	}
	if err != nil {
		return err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		_, err = box.Open(sealed, at)
	}
	if err != nil {
		return errors.New("this is not the master key the database was made with, and its keys and credentials cannot be read with another one: set HALLMARK_MASTER_KEY, or restore the file master.key, to what the hub was first started with")
	}
	return nil
}

func (s *Store) masterCheckText(ctx context.Context) (string, error) {
	var text string
	err := s.db.QueryRow(ctx, `SELECT value FROM meta WHERE key = 'master_key'`).Scan(&text)
	return text, err
}
