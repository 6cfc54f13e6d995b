package webhook

import (
	"context"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
)

// result is what became of sending.
type result struct {
	status  int64  // of HTTP; 0: there was no answer
	answer  string // its first bytes
	problem string // "" says that it was delivered
	final   bool   // trying again does not mend it
	gone    bool   // the receiver wants to be told nothing any more
	later   time.Duration
}

const (
	// together is how many events a chat or a mail is told in one message.
	together = 20
	// longest is how long a receiver may put the hub off.
	longest = 24 * time.Hour
	// hold is how long what is new waits at most for a chat that failed.
	hold = 10 * time.Minute
)

// waits are the times between the attempts: one more attempt than there are waits, and then it has failed.
func waits() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
}

// Deliver sends what is due to a webhook: one delivery, or of chats and mail all that waits. finish ends the job in one transaction
// with what is written of it. An error says that nothing is known of how it ended: then it is sent again.
func (s *Sender) Deliver(ctx context.Context, j Job, finish func(ctx context.Context, f func(tx *db.Tx) error) error) error {
	ctx = core.WithPrincipal(ctx, core.System())
	w, found, err := s.opt.Store.WebhookByID(ctx, j.Webhook)
	if err != nil {
		return err
	}
	if !found {
		return finish(ctx, nil)
	}
	if w.Paused {
		return finish(ctx, func(tx *db.Tx) error { return store.EndWaiting(tx, w.ID, "the webhook is paused") })
	}
	n := together
	if j.Delivery != "" {
		n = 1
	}
	due, err := s.opt.Store.DueDeliveries(ctx, w.ID, j.Delivery, n)
	if err != nil {
		return err
	}
	var r result
	if len(due) > 0 {
		r = s.send(ctx, w, events(due))
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		s.count.WithLabelValues(string(w.Channel), r.name()).Inc()
	}
	return finish(ctx, func(tx *db.Tx) error { return s.note(tx, w, due, r) })
}

func (r *result) name() string {
	switch {
	case r.problem == "":
		return "delivered"
	case r.gone:
		return "gone"
	}
	return "failed"
}

func events(all []*store.Delivery) []*store.Event {
	out := make([]*store.Event, len(all))
	for i, d := range all {
		out[i] = &d.Event
	}
	return out
}

// note writes how sending ended, and makes the job for the next time.
func (s *Sender) note(tx *db.Tx, w *store.Webhook, sent []*store.Delivery, r result) error {
	now := db.Time(tx.Now())
	for _, d := range sent {
		t := store.Tried{State: store.DeliveryDelivered, Status: r.status, Error: r.problem, Answer: r.answer, DueAt: d.DueAt}
		if r.problem != "" {
			t.State, t.DueAt = store.DeliveryFailed, d.DueAt
			if wait, again := r.next(d.Attempts); again {
				t.State, t.DueAt = store.DeliveryWaiting, now.Add(wait)
			}
		}
		if err := store.EndTry(tx, d.ID, t); err != nil {
			return err
		}
		if w.Channel == store.ChannelHTTP && t.State == store.DeliveryWaiting && !r.gone {
			if err := s.opt.Enqueue(tx, jobFor(w, d.ID, t.DueAt)); err != nil {
				return err
			}
		}
	}
	if r.gone {
		if err := store.PauseWebhook(tx, w.ID, r.problem); err != nil {
			return err
		}
		return store.EndWaiting(tx, w.ID, "the webhook is paused: "+r.problem)
	}
	if w.Channel == store.ChannelHTTP {
		return nil
	}
	at, any, err := store.NextDue(tx, w.ID)
	if err != nil || !any {
		return err
	}
	return s.opt.Enqueue(tx, jobFor(w, "", r.nextMessage(now, at)))
}

// nextMessage is when a chat or mail is told something again, if the next of what waits is due at a time. Its job is the only one:
// what comes meanwhile goes with it.
func (r *result) nextMessage(now, due time.Time) time.Time {
	if r.later > 0 { // it said so for whatever it is told
		return now.Add(max(gather, min(r.later, longest)))
	}
	// Not at once: chats take some 20 messages a minute. And what is new does not wait for hours for what failed again and again.
	switch soonest, latest := now.Add(gather), now.Add(hold); {
	case due.Before(soonest):
		return soonest
	case due.After(latest):
		return latest
	default:
		return due
	}
}

// next is how long to wait after so many attempts and the one that just failed.
func (r *result) next(attempts int64) (wait time.Duration, again bool) {
	all := waits()
	if r.final || attempts >= int64(len(all)) {
		return 0, false
	}
	wait = all[attempts]
	wait += rand.N(wait / 5)
	return max(wait, min(r.later, longest)), true
}

// send tells a webhook of events: by HTTP of one.
func (s *Sender) send(ctx context.Context, w *store.Webhook, events []*store.Event) result {
	a, err := w.Address(s.opt.Keyring)
	if err != nil {
		return result{problem: "its address cannot be read: save the webhook again with its url and secret", final: true}
	}
	var r result
	switch w.Channel {
	case store.ChannelHTTP:
		r = s.sendHTTP(ctx, w, a, events[0])
	case store.ChannelEmail:
		r = s.sendMail(ctx, w, events)
	case store.ChannelFeishu:
		r = s.sendFeishu(ctx, w, a, events)
	case store.ChannelDingTalk:
		r = s.sendDingTalk(ctx, w, a, events)
	case store.ChannelWeCom:
		r = s.sendWeCom(ctx, w, a, events)
	case store.ChannelSlack:
		r = s.sendSlack(ctx, w, a, events)
	default:
		r = result{problem: "this hub knows no channel " + string(w.Channel), final: true}
	}
	r.answer, r.problem = shown(r.answer, a, shownAnswer), shown(r.problem, a, shownAnswer)
	return r
}

// shown makes text of somebody else fit for a row: without what is secret, valid, on one line, and not too long.
func shown(text string, a store.WebhookAddress, most int) string {
	for _, secret := range secretsIn(a) {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return cut(oneLine(text), most)
}

// secretsIn are the texts that nobody is shown, the longest first: the secrets with and without their prefix, and what comes behind
// the host of an address, whole and in its parts.
func secretsIn(a store.WebhookAddress) []string {
	var all []string
	if u, err := url.Parse(a.URL); err == nil {
		all = append(all, u.RequestURI(), u.EscapedPath(), u.RawQuery)
		all = append(all, strings.Split(u.EscapedPath(), "/")...)
		all = append(all, strings.Split(u.Path, "/")...)
		for _, values := range u.Query() {
			all = append(all, values...)
		}
		for _, pair := range strings.Split(u.RawQuery, "&") {
			_, value, _ := strings.Cut(pair, "=")
			all = append(all, value)
		}
	}
	// A shorter one is no key, and may stand in every word.
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) < 8 })
	for _, secret := range []string{a.URL, a.Secret, a.Previous, strings.TrimPrefix(a.Secret, secretPrefix), strings.TrimPrefix(a.Previous, secretPrefix)} {
		if len(secret) > 3 {
			all = append(all, secret)
		}
	}
	slices.SortFunc(all, func(x, y string) int { return len(y) - len(x) })
	return all
}

// cut shortens text to so many bytes, and no character in two.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// Tested is what came back when a webhook was tried.
type Tested struct {
	OK      bool
	Status  int64
	Message string
	Answer  string
}

// Test sends a webhook a message that nothing has happened, at once, paused or not.
func (s *Sender) Test(ctx context.Context, p *core.Project, name string) (Tested, error) {
	w, err := s.opt.Store.Webhook(ctx, p, name)
	if err != nil {
		return Tested{}, err
	}
	e := store.Event{ID: store.NewID(), Type: string(event.Ping), Subject: name, Data: "{}", Actor: core.PrincipalFrom(ctx).Actor(), CreatedAt: s.opt.Store.Now()}
	if p != nil {
		e.ProjectID, e.Project = p.ID, p.Name
	}
	r := s.send(ctx, w, []*store.Event{&e})
	if err := ctx.Err(); err != nil {
		return Tested{}, err
	}
	return Tested{OK: r.problem == "", Status: r.status, Message: r.problem, Answer: r.answer}, nil
}

// Redeliver sends a delivery of a webhook once more, with the same id.
func (s *Sender) Redeliver(ctx context.Context, p *core.Project, name, delivery string) (*store.Delivery, error) {
	w, err := s.opt.Store.Webhook(ctx, p, name)
	if err != nil {
		return nil, err
	}
	if w.Paused {
		return nil, core.Errorf(core.CodeConflict, "the webhook %s is paused: let it go on first", name)
	}
	return s.opt.Store.Redeliver(ctx, w, delivery, func(tx *db.Tx) error {
		return s.opt.Enqueue(tx, jobFor(w, delivery, db.Time(tx.Now())))
	})
}
