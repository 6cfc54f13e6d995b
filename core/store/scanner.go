package store

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Scanner is an adapter that speaks Harbor's pluggable-scanner API. It never has its secret: see ScannerSecret.
type Scanner struct {
	Name        string
	ID          string // one of the same name made later has another
	URL         string // where its API is, without /api/v1
	CAPEM       string // "": the authorities of the system
	Username    string // "": the secret is a bearer token
	HasSecret   bool
	RegistryURL string // where it fetches images of this hub; "": the hub's own address
	Default     bool   // scans for projects that name none
	Paused      bool
	Health      ScannerHealth
	CheckedAt   time.Time // zero: it was not asked yet
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64

	sealed []byte
}

// Ready reports whether scans can be asked of it.
func (s *Scanner) Ready() bool { return !s.Paused && !s.CheckedAt.IsZero() && s.Health.Problem == "" }

// ScannerHealth is what a scanner said when it was last asked.
type ScannerHealth struct {
	Problem    string // why it cannot scan; "": it can
	Metadata   json.RawMessage
	DatabaseAt time.Time // how new its vulnerability data are; zero: it does not say
}

// ScannerPut is what PutScanner saves: all of it, but for a Secret that is nil.
type ScannerPut struct {
	URL      string `json:"url"`
	CAPEM    string `json:"ca_pem,omitempty"`
	Username string `json:"username,omitempty"`
	// Secret nil leaves the one there is, which is for the same URL and user alone.
	Secret      *string `json:"-"`
	RegistryURL string  `json:"registry_url,omitempty"`
	Default     bool    `json:"default,omitempty"` // takes it from whichever is it now
	Paused      bool    `json:"paused,omitempty"`
}

const (
	maxScannerURL    = 256
	maxScannerUser   = 256
	maxScannerSecret = 4 << 10
	maxScannerCA     = 64 << 10
	maxScanners      = 50
	maxScannerWrong  = 1024 // bytes of a problem that are kept

	scannerColumns = `name, id, url, ca_pem, username, secret, registry_url, is_default, paused, problem, metadata, database_at, checked_at,
	created_at, updated_at, revision`
)

func scanScanner(row func(...any) error) (*Scanner, error) {
	var s Scanner
	var metadata string
	var database, checked, created, updated int64
	err := row(&s.Name, &s.ID, &s.URL, &s.CAPEM, &s.Username, &s.sealed, &s.RegistryURL, &s.Default, &s.Paused, &s.Health.Problem, &metadata,
		&database, &checked, &created, &updated, &s.Revision)
	s.HasSecret, s.CreatedAt, s.UpdatedAt = len(s.sealed) > 0, db.Time(created), db.Time(updated)
	if metadata != "" {
		s.Health.Metadata = json.RawMessage(metadata)
	}
	if database != 0 {
		s.Health.DatabaseAt = db.Time(database)
	}
	if checked != 0 {
		s.CheckedAt = db.Time(checked)
	}
	return &s, err
}

func noScanner(name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no scanner %q: an administrator makes one with: hallmark create scanner %s --url https://...", name, name)
}

func scannerOf(q querier, name string) (*Scanner, bool, error) {
	return row(q, `SELECT `+scannerColumns+` FROM scanner WHERE name = $1`, []any{name}, scanScanner)
}

// Scanner returns a scanner. CodeNotFound if there is none.
func (s *Store) Scanner(ctx context.Context, name string) (*Scanner, error) {
	v, found, err := scannerOf(s.reads(ctx), name)
	if err == nil && !found {
		err = noScanner(name)
	}
	return v, err
}

// Scanners lists the scanners in byte order of the names; more says that there are further ones.
func (s *Store) Scanners(ctx context.Context, after string, n int) (all []*Scanner, more bool, err error) {
	var st statement
	st.add(`SELECT `+scannerColumns+` FROM scanner WHERE name > ? ORDER BY name`, after)
	return page(s.reads(ctx), &st, n, scanScanner)
}

// ScannerFor returns the scanner of a project: the one it names, else the default one. found is false if there is neither.
func (s *Store) ScannerFor(ctx context.Context, project string) (v *Scanner, found bool, err error) {
	return row(s.reads(ctx), `SELECT `+scannerColumns+` FROM scanner WHERE name = COALESCE((SELECT scanner FROM project WHERE name = $1),
		(SELECT name FROM scanner WHERE is_default))`, []any{project}, scanScanner)
}

// ScannerSecret opens what the hub presents to a scanner; "" if that is nothing.
func ScannerSecret(k *seal.Keyring, s *Scanner) (string, error) {
	if len(s.sealed) == 0 {
		return "", nil
	}
	plain, err := k.Box("scanner").Open(s.sealed, scannerPlace(s))
	return string(plain), err
}

// scannerPlace binds a secret to where it is sent: who changes the address in the database gets nothing sent there.
func scannerPlace(s *Scanner) seal.Place {
	return seal.Place{Table: "scanner", Row: strings.Join([]string{s.ID, s.URL, s.Username}, " "), Column: "secret"}
}

// webAddress is an address as it is stored: scheme, host and path.
func webAddress(pointer, what, s string) (string, error) {
	u, err := url.Parse(s)
	if len(s) > maxScannerURL || err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" ||
		u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return "", core.Invalid(pointer, "%s has a scheme, a host, perhaps a port and a path, and no user: https://scanner.example.org:8443", what)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/"), nil
}

func (n *ScannerPut) check() (err error) {
	if n.URL, err = webAddress("/url", "the URL of a scanner", n.URL); err != nil {
		return err
	}
	if n.RegistryURL != "" {
		if n.RegistryURL, err = webAddress("/registry_url", "where a scanner fetches images of this hub", n.RegistryURL); err != nil {
			return err
		}
	}
	if strings.Contains(n.Username, ":") {
		return core.Invalid("/username", "a user name has no colon")
	}
	if n.CAPEM != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(n.CAPEM)) {
		return core.Invalid("/ca_pem", "there is no certificate in this: it begins with -----BEGIN CERTIFICATE-----")
	}
	if err := checkLines("/ca_pem", n.CAPEM, maxScannerCA); err != nil {
		return err
	}
	if err := checkLine("/username", n.Username, maxScannerUser); err != nil || n.Secret == nil {
		return err
	}
	return checkLine("/secret", *n.Secret, maxScannerSecret)
}

// PutScanner makes or changes a scanner. revision is that of the row as the caller read it, 0 to make a new one. What it
// answered before the change is forgotten: it is asked anew.
func (s *Store) PutScanner(ctx context.Context, k *seal.Keyring, name string, n ScannerPut, revision int64) (v *Scanner, created bool, err error) {
	if !validWord(name, maxTrustName) {
		return nil, false, core.Invalid("name", "a name has 1 to %d of the characters a-z, 0-9, and between them . _ -", maxTrustName)
	}
	if err := n.check(); err != nil {
		return nil, false, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		was, found, err := scannerOf(tx.Query, name)
		if err != nil {
			return err
		}
		if created = !found; created {
			was = &Scanner{Name: name, ID: NewID(), CreatedAt: db.Time(tx.Now())}
		} else if err := checkRevision("the scanner", was.Revision, revision); err != nil {
			return err
		}
		v = &Scanner{Name: name, ID: was.ID, URL: n.URL, CAPEM: n.CAPEM, Username: n.Username, RegistryURL: n.RegistryURL, Default: n.Default,
			Paused: n.Paused, CreatedAt: was.CreatedAt, UpdatedAt: db.Time(tx.Now()), Revision: was.Revision + 1}
		if v.sealed, err = sealScanner(k, was, v, n.Secret); err != nil {
			return err
		}
		v.HasSecret = len(v.sealed) > 0
		if err := writeScanner(tx, v, was.Revision); err != nil {
			return err
		}
		tx.Changed(ChangeScan, "")
		verb := "scanner.update"
		if created {
			verb = "scanner.create"
		}
		return Audit(tx, verb, "", name, detail(n))
	})
	if err != nil {
		return nil, false, err
	}
	return v, created, nil
}

// sealScanner keeps a secret for those alone it was given for.
func sealScanner(k *seal.Keyring, was, now *Scanner, secret *string) ([]byte, error) {
	switch {
	case secret != nil && *secret == "":
		return nil, nil
	case secret != nil:
		return k.Box("scanner").Seal([]byte(*secret), scannerPlace(now)), nil
	case len(was.sealed) > 0 && scannerPlace(was) != scannerPlace(now):
		return nil, core.Invalid("/secret", "the secret there is was given for another URL or user: give it again")
	}
	return was.sealed, nil
}

func writeScanner(tx *db.Tx, v *Scanner, was int64) error {
	if v.Default { // one at most
		if _, err := tx.Exec(`UPDATE scanner SET is_default = FALSE, revision = revision + 1 WHERE is_default AND name <> $1`, v.Name); err != nil {
			return err
		}
	}
	args := []any{v.Name, v.ID, v.URL, v.CAPEM, v.Username, v.sealed, v.RegistryURL, v.Default, v.Paused, tx.Now()}
	if was == 0 {
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM scanner`).Scan(&n); err != nil {
			return err
		}
		if n >= maxScanners {
			return core.Errorf(core.CodeLimit, "there are %d scanners already, and more are not allowed: delete one that no project names", n)
		}
		c, err := tx.Exec(`INSERT INTO scanner (name, id, url, ca_pem, username, secret, registry_url, is_default, paused, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT (name) DO NOTHING`, args...)
		return exactly(c, err, stale("the scanner"))
	}
	c, err := tx.Exec(`UPDATE scanner SET url = $3, ca_pem = $4, username = $5, secret = $6, registry_url = $7, is_default = $8, paused = $9, updated_at = $10,
		problem = '', metadata = '', database_at = 0, checked_at = 0, asked_at = 0, revision = revision + 1 WHERE name = $1 AND id = $2 AND revision = $11`, append(args, was)...)
	return exactly(c, err, stale("the scanner"))
}

// HoldScanner says whether a scanner is there, and keeps it there until the transaction ends.
func HoldScanner(tx *db.Tx, name string) (there bool, err error) {
	c, err := tx.Exec(`UPDATE scanner SET name = name WHERE name = $1`, name)
	return c > 0, err
}

// holdScanner refuses a scanner that is not there.
func holdScanner(tx *db.Tx, name string) error {
	there, err := HoldScanner(tx, name)
	if err != nil || there {
		return err
	}
	return exactly(0, nil, &core.Error{Code: core.CodeInvalid, Message: noScanner(name).Message,
		Fields: []core.FieldError{{Pointer: "/scanner", Message: "is the name of none"}}})
}

// DeleteScanner forgets a scanner, and what it found: nobody would ever say anything newer of it. CodeConflict while a project
// names it.
func (s *Store) DeleteScanner(ctx context.Context, name string, revision int64) error {
	if err := s.deleteScanner(ctx, name, revision); err != nil {
		return err
	}
	// It is gone, whether or not who asked still waits; what is left is swept later.
	_, err := s.sweepScans(context.WithoutCancel(ctx))
	return err
}

func (s *Store) deleteScanner(ctx context.Context, name string, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		if there, err := HoldScanner(tx, name); err != nil {
			return err
		} else if !there {
			return noScanner(name)
		}
		v, _, err := scannerOf(tx.Query, name)
		if err != nil {
			return err
		}
		if err := checkRevision("the scanner", v.Revision, revision); err != nil {
			return err
		}
		project, used, err := row(tx.Query, `SELECT name FROM project WHERE scanner = $1 ORDER BY name`, []any{name}, scanText)
		if err != nil {
			return err
		}
		if used {
			return core.Errorf(core.CodeConflict, "project %s names the scanner %s: name another one there first", project, name)
		}
		if _, err := tx.Exec(`DELETE FROM scanner WHERE name = $1`, name); err != nil {
			return err
		}
		tx.Changed(ChangeScan, "")
		return Audit(tx, "scanner.delete", "", name, "")
	})
}

// ClaimScannerCheck says whether it is this caller's turn to ask a scanner how it is: nobody has for that long. The next turn
// is then as long away, whatever comes of this one.
func (s *Store) ClaimScannerCheck(ctx context.Context, v *Scanner, every time.Duration) (claimed bool, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE scanner SET asked_at = $3 WHERE name = $1 AND id = $2 AND asked_at <= $4`, v.Name, v.ID, tx.Now(),
			tx.Now()-every.Microseconds())
		claimed = n > 0
		return err
	})
	return claimed, err
}

// SetScannerHealth writes what a scanner said; v is the row as it was when it was asked, so that what was changed meanwhile is
// not answered for. ChangeScan is published if that is news.
func (s *Store) SetScannerHealth(ctx context.Context, v *Scanner, h ScannerHealth) error {
	h.Problem = clipped(h.Problem, maxScannerWrong)
	var database int64
	if !h.DatabaseAt.IsZero() {
		database = h.DatabaseAt.UnixMicro()
	}
	return s.write(ctx, func(tx *db.Tx) error {
		was, found, err := scannerOf(tx.Query, v.Name)
		if err != nil || !found || was.ID != v.ID || was.Revision != v.Revision {
			return err
		}
		metadata := string(h.Metadata)
		if metadata == "" { // it did not answer: what it is was said before
			metadata = string(was.Health.Metadata)
		}
		if database == 0 && h.Problem != "" && !was.Health.DatabaseAt.IsZero() {
			database = was.Health.DatabaseAt.UnixMicro()
		}
		c, err := tx.Exec(`UPDATE scanner SET problem = $4, metadata = $5, database_at = $6, checked_at = $7, asked_at = $7
			WHERE name = $1 AND id = $2 AND revision = $3`, v.Name, v.ID, v.Revision, h.Problem, metadata, database, tx.Now())
		if err != nil || c == 0 {
			return err
		}
		news := was.CheckedAt.IsZero() || was.Health.Problem != h.Problem || string(was.Health.Metadata) != metadata ||
			was.Health.DatabaseAt.UnixMicro() != database && !(database == 0 && was.Health.DatabaseAt.IsZero())
		if news {
			tx.Changed(ChangeScan, "")
		}
		return nil
	})
}

// clipped is text that fits a row: one line of at most so many bytes.
func clipped(s string, most int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", " "), " ")), " ")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
