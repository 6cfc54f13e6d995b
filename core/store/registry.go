package store

import (
	"context"
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Registry is an existing registry that projects stand in front of. It never has its password: see RegistryPassword.
type Registry struct {
	Name      string
	ID        string // one of the same name made later has another
	URL       string // scheme, host and port
	PlainHTTP bool
	CAPEM     string // "": the authorities of the system
	TokenHost string // where its tokens are to be had, if not at its own host
	Username  string // "": anonymously
	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64

	sealed []byte
}

// RegistryPut is what PutRegistry saves: all of it, but for a Password that is nil.
type RegistryPut struct {
	URL       string `json:"url"`
	PlainHTTP bool   `json:"plain_http,omitempty"`
	CAPEM     string `json:"ca_pem,omitempty"`
	TokenHost string `json:"token_host,omitempty"`
	Username  string `json:"username,omitempty"`
	// Password nil leaves the one there is, which is for the same URL, token host and user alone.
	Password *string `json:"-"`
}

// ChangeRegistry is published when an existing registry, or what the hub logs in to it with, changed. The key is its name.
const ChangeRegistry = "registry"

const (
	maxRegistryURL      = 256
	maxRegistryUser     = 256
	maxRegistryPassword = 4 << 10 // tokens of cloud providers are long
	maxRegistryCA       = 64 << 10
	maxRegistries       = 200

	registryColumns = `name, id, url, plain_http, ca_pem, token_host, username, password, created_at, updated_at, revision`
)

func scanRegistry(row func(...any) error) (*Registry, error) {
	var r Registry
	var created, updated int64
	err := row(&r.Name, &r.ID, &r.URL, &r.PlainHTTP, &r.CAPEM, &r.TokenHost, &r.Username, &r.sealed, &created, &updated, &r.Revision)
	r.CreatedAt, r.UpdatedAt = db.Time(created), db.Time(updated)
	return &r, err
}

func noRegistry(name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no registry %q: an administrator makes one with: hallmark create registry %s --url https://...", name, name)
}

func registryOf(q querier, name string) (*Registry, bool, error) {
	return row(q, `SELECT `+registryColumns+` FROM registry WHERE name = $1`, []any{name}, scanRegistry)
}

// Registry returns an existing registry. CodeNotFound if there is none.
func (s *Store) Registry(ctx context.Context, name string) (*Registry, error) {
	r, found, err := registryOf(s.reads(ctx), name)
	if err == nil && !found {
		err = noRegistry(name)
	}
	return r, err
}

// Registries lists the existing registries in byte order of the names; more says that there are further ones.
func (s *Store) Registries(ctx context.Context, after string, n int) (all []*Registry, more bool, err error) {
	var st statement
	st.add(`SELECT `+registryColumns+` FROM registry WHERE name > ? ORDER BY name`, after)
	return page(s.reads(ctx), &st, n, scanRegistry)
}

// RegistryPassword opens what the hub logs in with; "" if there is none.
func RegistryPassword(k *seal.Keyring, r *Registry) (string, error) {
	if len(r.sealed) == 0 {
		return "", nil
	}
	plain, err := k.Box("registry").Open(r.sealed, registryPlace(r))
	return string(plain), err
}

// registryPlace binds a password to where it is sent: who changes the address in the database gets nothing sent there.
func registryPlace(r *Registry) seal.Place {
	return seal.Place{Table: "registry", Row: strings.Join([]string{r.ID, r.URL, r.TokenHost, r.Username}, " "), Column: "password"}
}

func (n *RegistryPut) check() error {
	u, err := url.Parse(n.URL)
	switch {
	case len(n.URL) > maxRegistryURL || err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return core.Invalid("/url", "the URL of a registry has a scheme, a host and perhaps a port, and no user: https://registry.example.org")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return core.Invalid("/url", "the URL of a registry ends behind its host and port: repositories are named by those who pull")
	case u.Scheme == "http" && !n.PlainHTTP:
		return core.Invalid("/url", "without TLS everybody on the way could read the password and change what is answered: use https, or say plain_http")
	case u.Scheme == "https" && n.PlainHTTP:
		return core.Invalid("/plain_http", "plain_http is for a URL that begins with http://")
	}
	n.URL = u.Scheme + "://" + strings.ToLower(u.Host)
	if strings.ContainsAny(n.TokenHost, "/@? #") || len(n.TokenHost) > maxRegistryURL {
		return core.Invalid("/token_host", "this is a host, perhaps with a port: auth.example.org")
	}
	if strings.Contains(n.Username, ":") {
		return core.Invalid("/username", "a user name has no colon")
	}
	if n.CAPEM != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(n.CAPEM)) {
		return core.Invalid("/ca_pem", "there is no certificate in this: it begins with -----BEGIN CERTIFICATE-----")
	}
	if n.Username == "" && n.Password != nil && *n.Password != "" {
		return core.Invalid("/password", "a password goes with a username")
	}
	if err := checkLines("/ca_pem", n.CAPEM, maxRegistryCA); err != nil {
		return err
	}
	if err := checkLine("/username", n.Username, maxRegistryUser); err != nil {
		return err
	}
	if n.Password == nil {
		return nil
	}
	return checkLine("/password", *n.Password, maxRegistryPassword)
}

// PutRegistry makes or changes an existing registry. revision is that of the row as the caller read it, 0 to make a new one.
func (s *Store) PutRegistry(ctx context.Context, k *seal.Keyring, name string, n RegistryPut, revision int64) (r *Registry, created bool, err error) {
	if !validWord(name, maxTrustName) {
		return nil, false, core.Invalid("name", "a name has 1 to %d of the characters a-z, 0-9, and between them . _ -", maxTrustName)
	}
	if err := n.check(); err != nil {
		return nil, false, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		was, found, err := registryOf(tx.Query, name)
		if err != nil {
			return err
		}
		if created = !found; created {
			was = &Registry{Name: name, ID: NewID(), CreatedAt: db.Time(tx.Now())}
		} else if err := checkRevision("the registry", was.Revision, revision); err != nil {
			return err
		}
		r = &Registry{Name: name, ID: was.ID, URL: n.URL, PlainHTTP: n.PlainHTTP, CAPEM: n.CAPEM, TokenHost: n.TokenHost, Username: n.Username,
			CreatedAt: was.CreatedAt, UpdatedAt: db.Time(tx.Now()), Revision: was.Revision + 1}
		if r.sealed, err = sealPassword(k, was, r, n.Password); err != nil {
			return err
		}
		if err := writeRegistry(tx, r, was.Revision); err != nil {
			return err
		}
		if err := registryChanged(tx, name); err != nil {
			return err
		}
		verb := "registry.update"
		if created {
			verb = "registry.create"
		}
		return Audit(tx, verb, "", name, detail(n))
	})
	if err != nil {
		return nil, false, err
	}
	return r, created, nil
}

// sealPassword keeps a password for those alone it was given for.
func sealPassword(k *seal.Keyring, was, now *Registry, password *string) ([]byte, error) {
	switch {
	case now.Username == "" || password != nil && *password == "":
		return nil, nil
	case password != nil:
		return k.Box("registry").Seal([]byte(*password), registryPlace(now)), nil
	case len(was.sealed) > 0 && registryPlace(was) != registryPlace(now):
		return nil, core.Invalid("/password", "the password there is was given for another URL, token host or user: give it again")
	}
	return was.sealed, nil
}

func writeRegistry(tx *db.Tx, r *Registry, was int64) error {
	args := []any{r.Name, r.ID, r.URL, r.PlainHTTP, r.CAPEM, r.TokenHost, r.Username, r.sealed, tx.Now()}
	if was == 0 {
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM registry`).Scan(&n); err != nil {
			return err
		}
		if n >= maxRegistries {
			return core.Errorf(core.CodeLimit, "there are %d registries already, and more are not allowed: delete one that no project stands in front of", n)
		}
		c, err := tx.Exec(`INSERT INTO registry (name, id, url, plain_http, ca_pem, token_host, username, password, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (name) DO NOTHING`, args...)
		return exactly(c, err, stale("the registry"))
	}
	c, err := tx.Exec(`UPDATE registry SET url = $3, plain_http = $4, ca_pem = $5, token_host = $6, username = $7, password = $8, updated_at = $9,
		revision = revision + 1 WHERE name = $1 AND id = $2 AND revision = $10`, append(args, was)...)
	return exactly(c, err, stale("the registry"))
}

// registryChanged tells everybody, and ends what was decided in the projects that stand in front of it.
func registryChanged(tx *db.Tx, name string) error {
	projects, err := rows(tx.Query, `SELECT name FROM project WHERE registry = $1`, []any{name}, scanText)
	for _, p := range projects {
		tx.Changed(ChangeProject, p)
	}
	tx.Changed(ChangeRegistry, name)
	return err
}

// holdRegistry makes sure that a registry is there until the transaction ends.
func holdRegistry(tx *db.Tx, name string) error {
	c, err := tx.Exec(`UPDATE registry SET name = name WHERE name = $1`, name)
	return exactly(c, err, &core.Error{Code: core.CodeInvalid, Message: noRegistry(name).Message,
		Fields: []core.FieldError{{Pointer: "/registry", Message: "is the name of none"}}})
}

// DeleteRegistry forgets an existing registry. CodeConflict while a project stands in front of it.
func (s *Store) DeleteRegistry(ctx context.Context, name string, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		if c, err := tx.Exec(`UPDATE registry SET name = name WHERE name = $1`, name); err != nil || c == 0 {
			return exactly(c, err, noRegistry(name))
		}
		r, _, err := registryOf(tx.Query, name)
		if err != nil {
			return err
		}
		if err := checkRevision("the registry", r.Revision, revision); err != nil {
			return err
		}
		project, used, err := row(tx.Query, `SELECT name FROM project WHERE registry = $1 ORDER BY name`, []any{name}, scanText)
		if err != nil {
			return err
		}
		if used {
			return core.Errorf(core.CodeConflict, "project %s stands in front of the registry %s: delete it first", project, name)
		}
		if _, err := tx.Exec(`DELETE FROM registry WHERE name = $1`, name); err != nil {
			return err
		}
		tx.Changed(ChangeRegistry, name)
		return Audit(tx, "registry.delete", "", name, "")
	})
}
