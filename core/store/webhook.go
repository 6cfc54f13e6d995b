package store

import (
	"context"
	"encoding/json"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Channel is how somebody is told.
type Channel string

// The channels.
const (
	ChannelHTTP     Channel = "http"
	ChannelEmail    Channel = "email"
	ChannelFeishu   Channel = "feishu"
	ChannelDingTalk Channel = "dingtalk"
	ChannelWeCom    Channel = "wecom"
	ChannelSlack    Channel = "slack"
)

// Channels are all there are.
func Channels() []Channel {
	return []Channel{ChannelHTTP, ChannelEmail, ChannelFeishu, ChannelDingTalk, ChannelWeCom, ChannelSlack}
}

// Webhook is a subscription to what happens. It never has its address and secret: see WebhookAddress.
type Webhook struct {
	ID           string
	Scope        string // a project's id; "" is the hub
	Name         string
	Channel      Channel
	Host         string // of its address; "" for mail
	Recipients   []string
	Events       []string
	Repositories []string
	MinSeverity  core.Severity // "" is any
	Lang         string
	Paused       bool
	Problem      string // why the hub itself paused it
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Revision     int64

	sealed []byte
}

// WebhookPut is what PutWebhook saves: all of it, but for a URL and a Secret that are nil.
type WebhookPut struct {
	Channel      Channel       `json:"channel"`
	Recipients   []string      `json:"to,omitempty"`
	Events       []string      `json:"events"`
	Repositories []string      `json:"repositories,omitempty"`
	MinSeverity  core.Severity `json:"min_severity,omitempty"`
	Lang         string        `json:"lang,omitempty"`
	Paused       bool          `json:"paused,omitempty"`
	// URL nil leaves the one there is. Those of chats have their key in them, so none is ever shown.
	URL *string `json:"-"`
	// Secret nil leaves the one there is, which is for the same host alone. A new one signs together with the one before it
	// for SecretOverlap.
	Secret *string `json:"-"`
}

// WebhookAddress is what is sealed: where a webhook sends to, and what it signs with.
type WebhookAddress struct {
	URL      string    `json:"url"`
	Secret   string    `json:"secret,omitempty"`
	Previous string    `json:"previous,omitempty"` // signs as well, until
	Until    time.Time `json:"until,omitzero"`
}

// SecretOverlap is how long a secret that was replaced signs beside the new one.
const SecretOverlap = 24 * time.Hour

const (
	maxWebhooks      = 50 // of one scope
	maxWebhookURL    = 2048
	maxWebhookHost   = 255 // with the port: what a job may have for a target
	maxWebhookSecret = 256
	maxRecipients    = 20
	maxPatterns      = 20
	maxEventGlob     = 255

	webhookColumns = `id, scope, name, channel, host, sealed, recipients, events, repositories, min_severity, lang, paused, problem, created_at, updated_at, revision`
)

func scanWebhook(row func(...any) error) (*Webhook, error) {
	var w Webhook
	var to, events, repositories string
	var created, updated int64
	err := row(&w.ID, &w.Scope, &w.Name, &w.Channel, &w.Host, &w.sealed, &to, &events, &repositories, &w.MinSeverity, &w.Lang, &w.Paused, &w.Problem,
		&created, &updated, &w.Revision)
	w.CreatedAt, w.UpdatedAt = db.Time(created), db.Time(updated)
	for _, list := range []struct {
		text string
		into *[]string
	}{{to, &w.Recipients}, {events, &w.Events}, {repositories, &w.Repositories}} {
		if err == nil {
			err = json.Unmarshal([]byte(list.text), list.into)
		}
	}
	return &w, err
}

func noWebhook(name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no webhook %q here", name)
}

func webhookOf(q querier, scope, name string) (*Webhook, bool, error) {
	return row(q, `SELECT `+webhookColumns+` FROM webhook WHERE scope = $1 AND name = $2`, []any{scope, name}, scanWebhook)
}

// Webhook returns one of a project, or of the hub if p is nil. CodeNotFound if there is none.
func (s *Store) Webhook(ctx context.Context, p *core.Project, name string) (*Webhook, error) {
	scope, _ := trustScope(p)
	w, found, err := webhookOf(s.reads(ctx), scope, name)
	if err == nil && !found {
		err = noWebhook(name)
	}
	return w, err
}

// WebhookByID returns one for who delivers; found says whether it is there still.
func (s *Store) WebhookByID(ctx context.Context, id string) (w *Webhook, found bool, err error) {
	return row(s.reads(ctx), `SELECT `+webhookColumns+` FROM webhook WHERE id = $1`, []any{id}, scanWebhook)
}

// Webhooks lists those of a project, or of the hub if p is nil, in byte order of the names; more says that there are further ones.
func (s *Store) Webhooks(ctx context.Context, p *core.Project, after string, n int) (all []*Webhook, more bool, err error) {
	scope, _ := trustScope(p)
	var st statement
	st.add(`SELECT `+webhookColumns+` FROM webhook WHERE scope = ? AND name > ? ORDER BY name`, scope, after)
	return page(s.reads(ctx), &st, n, scanWebhook)
}

// Address opens where a webhook sends to, and what it signs with.
func (w *Webhook) Address(k *seal.Keyring) (a WebhookAddress, err error) {
	if len(w.sealed) == 0 {
		return a, nil
	}
	plain, err := k.Box("webhook").Open(w.sealed, w.place())
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(plain, &a)
}

// place binds an address to its webhook: copied to another row it does not open there.
func (w *Webhook) place() seal.Place {
	return seal.Place{Table: "webhook", Row: strings.Join([]string{w.ID, string(w.Channel), w.Host}, " "), Column: "sealed"}
}

func (n *WebhookPut) check() error {
	if !slices.Contains(Channels(), n.Channel) {
		return core.Invalid("/channel", "there is no such channel: take http, email, feishu, dingtalk, wecom or slack")
	}
	if n.Lang == "" {
		n.Lang = "en"
	}
	if n.Lang != "en" && n.Lang != "zh" {
		return core.Invalid("/lang", "texts are there in en and zh")
	}
	if n.MinSeverity != "" && n.MinSeverity.Rank() < 0 {
		return core.Invalid("/min_severity", "this is Unknown, Negligible, Low, Medium, High or Critical")
	}
	if len(n.Events) == 0 {
		return core.Invalid("/events", "say what to be told: artifact.pushed, or artifact.* for all of a noun, or * for everything")
	}
	for _, list := range []struct {
		pointer string
		values  []string
	}{{"/events", n.Events}, {"/repositories", n.Repositories}} {
		if len(list.values) > maxPatterns {
			return core.Invalid(list.pointer, "these are %d; the limit is %d", len(list.values), maxPatterns)
		}
		for _, v := range list.values {
			if err := checkLine(list.pointer, v, maxEventGlob); err != nil {
				return err
			}
		}
	}
	for _, pattern := range n.Repositories {
		if !validPattern(pattern) {
			return core.Invalid("/repositories", "%q is no pattern of names of repositories: write it as team/app, team/* or team/**", pattern)
		}
	}
	return n.checkReceiver()
}

// checkReceiver looks at who is told: people for mail, an address for everything else.
func (n *WebhookPut) checkReceiver() error {
	if n.Channel == ChannelEmail {
		switch {
		case n.URL != nil || n.Secret != nil:
			return core.Invalid("/url", "mail goes to people, named in `to`: it has no url and no secret")
		case len(n.Recipients) == 0 || len(n.Recipients) > maxRecipients:
			return core.Invalid("/to", "name 1 to %d addresses to send mail to", maxRecipients)
		}
		for _, to := range n.Recipients {
			if a, err := mail.ParseAddress(to); err != nil || a.Address != to || checkLine("/to", to, 254) != nil {
				return core.Invalid("/to", "%q is no mail address: write it as somebody@example.org", to)
			}
		}
		return nil
	}
	if len(n.Recipients) > 0 {
		return core.Invalid("/to", "only mail has `to`")
	}
	if n.Secret != nil {
		return checkLine("/secret", *n.Secret, maxWebhookSecret)
	}
	return nil
}

// hostOf is the host of an address that is acceptable for a channel.
func hostOf(c Channel, address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case len(address) > maxWebhookURL:
		return "", core.Invalid("/url", "this URL has %d bytes; the limit is %d", len(address), maxWebhookURL)
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		return "", core.Invalid("/url", "the URL has a scheme and a host, and no user and fragment: https://hooks.example.org/path")
	case len(u.Host) > maxWebhookHost:
		return "", core.Invalid("/url", "the host of this URL has %d bytes; the limit is %d", len(u.Host), maxWebhookHost)
	case u.Scheme == "http" && c != ChannelHTTP:
		return "", core.Invalid("/url", "the key of a chat is in its URL, and without TLS everybody on the way could read it: use https")
	}
	return strings.ToLower(u.Host), checkLine("/url", address, maxWebhookURL)
}

// PutWebhook makes or changes one of a project, or of the hub if p is nil. revision is that of the row as the caller read it, 0 to
// make a new one.
func (s *Store) PutWebhook(ctx context.Context, k *seal.Keyring, p *core.Project, name string, n WebhookPut, revision int64) (w *Webhook, created bool, err error) {
	if !validWord(name, maxTrustName) {
		return nil, false, core.Invalid("name", "a name has 1 to %d of the characters a-z, 0-9, and between them . _ -", maxTrustName)
	}
	if err := n.check(); err != nil {
		return nil, false, err
	}
	scope, project := trustScope(p)
	err = s.write(ctx, func(tx *db.Tx) error {
		if p != nil {
			if err := lockProject(tx, p); err != nil {
				return err
			}
		}
		was, found, err := webhookOf(tx.Query, scope, name)
		if err != nil {
			return err
		}
		if created = !found; created {
			was = &Webhook{ID: NewID(), CreatedAt: db.Time(tx.Now())}
		} else if err := checkRevision("the webhook", was.Revision, revision); err != nil {
			return err
		}
		w = &Webhook{ID: was.ID, Scope: scope, Name: name, Channel: n.Channel, Recipients: n.Recipients, Events: n.Events, Repositories: n.Repositories,
			MinSeverity: n.MinSeverity, Lang: n.Lang, Paused: n.Paused, CreatedAt: was.CreatedAt, UpdatedAt: db.Time(tx.Now()), Revision: was.Revision + 1}
		if err := sealAddress(k, was, w, &n, tx.Now()); err != nil {
			return err
		}
		if err := writeWebhook(tx, w, was.Revision); err != nil {
			return err
		}
		verb := "webhook.update"
		if created {
			verb = "webhook.create"
		}
		return Audit(tx, verb, scope, trustObject(project, name), detail(n))
	})
	if err != nil {
		return nil, false, err
	}
	return w, created, nil
}

// sealAddress keeps a secret for the host alone that it was given for.
func sealAddress(k *seal.Keyring, was, now *Webhook, n *WebhookPut, at int64) error {
	if n.Channel == ChannelEmail {
		return nil
	}
	a, err := was.Address(k)
	if err != nil {
		// It opens under no key of ours: whoever changes the webhook gives everything anew.
		a = WebhookAddress{}
	}
	if n.URL != nil {
		a.URL = *n.URL
	}
	if a.URL == "" {
		return core.Invalid("/url", "the URL to send to is missing")
	}
	if now.Host, err = hostOf(n.Channel, a.URL); err != nil {
		return err
	}
	moved := was.Host != "" && (was.Host != now.Host || was.Channel != now.Channel)
	switch {
	case n.Secret != nil && *n.Secret != a.Secret:
		a.Previous, a.Until = a.Secret, db.Time(at).Add(SecretOverlap)
		if a.Secret = *n.Secret; moved || a.Previous == "" {
			a.Previous, a.Until = "", time.Time{}
		}
	case n.Secret == nil && moved && a.Secret != "":
		return core.Invalid("/secret", "the secret there is was given for another host or channel: give it again")
	case moved: // the same secret was given again; the one before it was for the old host
		a.Previous, a.Until = "", time.Time{}
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	now.sealed = k.Box("webhook").Seal(plain, now.place())
	return nil
}

func jsonList(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	return detail(list)
}

func writeWebhook(tx *db.Tx, w *Webhook, was int64) error {
	args := []any{w.ID, w.Scope, w.Name, string(w.Channel), w.Host, w.sealed, jsonList(w.Recipients), jsonList(w.Events), jsonList(w.Repositories),
		string(w.MinSeverity), w.Lang, w.Paused, tx.Now()}
	if was == 0 {
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM webhook WHERE scope = $1`, w.Scope).Scan(&n); err != nil {
			return err
		}
		if n >= maxWebhooks {
			return core.Errorf(core.CodeLimit, "there are %d webhooks here already, and more are not allowed: delete one, or let one be told more", n)
		}
		c, err := tx.Exec(`INSERT INTO webhook (id, scope, name, channel, host, sealed, recipients, events, repositories, min_severity, lang, paused, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) ON CONFLICT (scope, name) DO NOTHING`, args...)
		return exactly(c, err, stale("the webhook"))
	}
	c, err := tx.Exec(`UPDATE webhook SET channel = $4, host = $5, sealed = $6, recipients = $7, events = $8, repositories = $9, min_severity = $10,
		lang = $11, paused = $12, problem = '', updated_at = $13, revision = revision + 1
		WHERE id = $1 AND scope = $2 AND name = $3 AND revision = $14`, append(args, was)...)
	return exactly(c, err, stale("the webhook"))
}

// PauseWebhook has nobody told any more through one, because of a problem that its owners are shown.
func PauseWebhook(tx *db.Tx, id, problem string) error {
	_, err := tx.Exec(`UPDATE webhook SET paused = TRUE, problem = $2, updated_at = $3, revision = revision + 1 WHERE id = $1 AND NOT paused`,
		id, problem, tx.Now())
	return err
}

// DeleteWebhook removes one, with what was not delivered yet.
func (s *Store) DeleteWebhook(ctx context.Context, p *core.Project, name string, revision int64) error {
	scope, project := trustScope(p)
	return s.write(ctx, func(tx *db.Tx) error {
		w, found, err := webhookOf(tx.Query, scope, name)
		if err != nil {
			return err
		}
		if !found {
			return noWebhook(name)
		}
		if err := checkRevision("the webhook", w.Revision, revision); err != nil {
			return err
		}
		c, err := tx.Exec(`DELETE FROM webhook WHERE id = $1 AND revision = $2`, w.ID, w.Revision)
		if err := exactly(c, err, stale("the webhook")); err != nil {
			return err
		}
		return Audit(tx, "webhook.delete", scope, trustObject(project, name), "")
	})
}

// dropWebhooks removes all of a project that goes.
func dropWebhooks(tx *db.Tx, p *core.Project) error {
	_, err := tx.Exec(`DELETE FROM webhook WHERE scope = $1`, p.ID)
	return err
}
