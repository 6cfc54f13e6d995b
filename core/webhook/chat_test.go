package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/migrations"
)

// desk is a hub with one project, and the jobs that it made.
type desk struct {
	t       *testing.T
	ctx     context.Context
	db      *db.DB
	store   *store.Store
	sender  *webhook.Sender
	project *core.Project
	jobs    []webhook.Job
}

func newDesk(t *testing.T, d *db.DB, roots *x509.CertPool, mail *webhook.Mail) *desk {
	t.Helper()
	k := &desk{t: t, ctx: core.WithPrincipal(t.Context(), core.System()), db: d, store: store.New(d)}
	k.must(migrations.Up(k.ctx, d))
	ring, err := seal.New(make([]byte, seal.KeySize))
	k.must(err)
	k.sender = webhook.New(webhook.Options{Store: k.store, Keyring: ring, Source: "https://hub.test", RootCAs: roots, Mail: mail,
		Allow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Enqueue: func(_ *db.Tx, j webhook.Job) error { k.jobs = append(k.jobs, j); return nil }})
	k.project, err = k.store.CreateProject(k.ctx, store.NewProject{Name: "team"})
	k.must(err)
	return k
}

func (k *desk) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *desk) save(n store.WebhookPut) {
	k.t.Helper()
	n.Events = []string{"*"}
	_, _, err := k.sender.Save(k.ctx, k.project, "told", n, 0)
	k.must(err)
}

// happen writes events and finds out who is told.
func (k *desk) happen(all ...event.Event) {
	k.t.Helper()
	k.must(k.db.Write(k.ctx, func(tx *db.Tx) error {
		for _, e := range all {
			e.Project = k.project.ID
			if err := event.Write(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := k.sender.Dispatch(k.ctx)
	k.must(err)
}

// deliver runs the job that was made last, at a time when everything that waits is due.
func (k *desk) deliver() {
	k.t.Helper()
	k.must(k.db.Write(k.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE delivery SET due_at = 0 WHERE state = 'waiting'`)
		return err
	}))
	k.must(k.sender.Deliver(k.ctx, k.jobs[len(k.jobs)-1], func(ctx context.Context, f func(tx *db.Tx) error) error { return k.db.Write(ctx, f) }))
}

func (k *desk) deliveries() []*store.Delivery {
	k.t.Helper()
	w, err := k.store.Webhook(k.ctx, k.project, "told")
	k.must(err)
	all, _, err := k.store.Deliveries(k.ctx, w, "", 100)
	k.must(err)
	return all
}

// room is a chat: what it was sent, and what it answers next, 200 and ok unless said otherwise.
type room struct {
	*httptest.Server
	mu      sync.Mutex
	queries []url.Values
	bodies  [][]byte
	answers []answer
}

type answer struct {
	status int
	header http.Header
	body   string
}

func newRoom(t *testing.T, answers ...answer) *room {
	r := &room{answers: answers}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json; charset=utf-8" || req.URL.Path != "/robot" {
			t.Errorf("%v %s %s %v", err, req.Method, req.URL.Path, req.Header)
		}
		r.queries, r.bodies = append(r.queries, req.URL.Query()), append(r.bodies, body)
		a := answer{status: http.StatusOK, body: `{"code":0,"msg":"success","errcode":0,"errmsg":"ok"}`}
		if len(r.answers) > 0 {
			a, r.answers = r.answers[0], r.answers[1:]
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *room) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.Certificate())
	return pool
}

// put is a webhook of a kind that talks to the room.
func (r *room) put(c store.Channel, secret string) store.WebhookPut {
	address := r.URL + "/robot?key=key-canary"
	n := store.WebhookPut{Channel: c, URL: &address}
	if secret != "" {
		n.Secret = &secret
	}
	return n
}

// said is the text of a body, by the member that a kind of chat has it in.
func said(t *testing.T, c store.Channel, body []byte) string {
	t.Helper()
	var m struct {
		MsgType  string                   `json:"msg_type"`
		Type     string                   `json:"msgtype"`
		Content  struct{ Text string }    `json:"content"`
		Plain    json.RawMessage          `json:"text"`
		Markdown struct{ Content string } `json:"markdown"`
		Markup   *bool                    `json:"mrkdwn"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	var plain struct{ Content string }
	var text string
	switch {
	case c == store.ChannelFeishu && m.MsgType == "text":
		return m.Content.Text
	case c == store.ChannelDingTalk && m.Type == "text" && json.Unmarshal(m.Plain, &plain) == nil:
		return plain.Content
	case c == store.ChannelWeCom && m.Type == "markdown":
		return m.Markdown.Content
	case c == store.ChannelSlack && m.Markup != nil && !*m.Markup && json.Unmarshal(m.Plain, &text) == nil:
		return text
	}
	t.Fatalf("%s cannot read %s", c, body)
	return ""
}

func chats() []store.Channel {
	return []store.Channel{store.ChannelFeishu, store.ChannelDingTalk, store.ChannelWeCom, store.ChannelSlack}
}

// Feishu finds its signature beside the message and DingTalk in the query, made as each says. The key of a URL stays what it is.
func TestChatSignatures(t *testing.T) {
	const secret = "SEC+/=canary"
	near := func(at string, unit time.Duration) {
		t.Helper()
		n, err := strconv.ParseInt(at, 10, 64)
		if was := time.Unix(0, 0).Add(time.Duration(n) * unit); err != nil || time.Since(was).Abs() > time.Hour {
			t.Errorf("%q is no time of now in units of %s", at, unit)
		}
	}
	mac := func(key, message string) string {
		h := hmac.New(sha256.New, []byte(key))
		io.WriteString(h, message)
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	for _, c := range chats() {
		t.Run(string(c), func(t *testing.T) {
			r := newRoom(t)
			k := newDesk(t, dbtest.SQLite(t)(t), r.roots(), nil)
			k.save(r.put(c, secret))
			tested, err := k.sender.Test(k.ctx, k.project, "told")
			if err != nil || !tested.OK || tested.Status != 200 {
				t.Fatalf("%+v %v", tested, err)
			}
			q := r.queries[0]
			var m struct{ Timestamp, Sign string }
			k.must(json.Unmarshal(r.bodies[0], &m))
			if q.Get("key") != "key-canary" || strings.Contains(string(r.bodies[0]), "canary") {
				t.Errorf("%v %s", q, r.bodies[0])
			}
			switch c {
			case store.ChannelFeishu:
				near(m.Timestamp, time.Second)
				if m.Sign != mac(m.Timestamp+"\n"+secret, "") {
					t.Errorf("%+v", m)
				}
			case store.ChannelDingTalk:
				near(q.Get("timestamp"), time.Millisecond)
				if q.Get("sign") != mac(secret, q.Get("timestamp")+"\n"+secret) {
					t.Errorf("%v", q)
				}
			default: // the key in the URL is all they have
				if m.Sign+m.Timestamp+q.Get("sign") != "" {
					t.Errorf("%v %+v", q, m)
				}
			}
			if got := said(t, c, r.bodies[0]); got != "Hallmark: webhook told works" {
				t.Errorf("%q", got)
			}
		})
	}
	t.Run("without a secret", func(t *testing.T) {
		r := newRoom(t)
		k := newDesk(t, dbtest.SQLite(t)(t), r.roots(), nil)
		k.save(r.put(store.ChannelFeishu, ""))
		if tested, err := k.sender.Test(k.ctx, k.project, "told"); err != nil || !tested.OK || strings.Contains(string(r.bodies[0]), "sign") {
			t.Errorf("%+v %v %s", tested, err, r.bodies[0])
		}
	})
}

// A refusal is one whatever the status is, and says its code. A chat that was sent too much is left alone as long as it wants,
// and then told what it missed.
func TestChatRefusals(t *testing.T) {
	for _, x := range []struct {
		channel store.Channel
		answer  answer
		problem string
		wait    time.Duration
	}{
		{store.ChannelFeishu, answer{200, nil, `{"code":19021,"msg":"sign match fail"}`}, "Feishu answered 19021: sign match fail", 0},
		{store.ChannelFeishu, answer{200, nil, `{"StatusCode":19001,"StatusMessage":"param invalid"}`}, "Feishu answered 19001: param invalid", 0},
		{store.ChannelFeishu, answer{400, nil, `{"code":9499,"msg":"too many request"}`}, "Feishu answered 9499: too many request", time.Minute},
		{store.ChannelFeishu, answer{200, nil, `{"code":11232,"msg":"frequency limited"}`}, "Feishu answered 11232: frequency limited", time.Minute},
		{store.ChannelFeishu, answer{200, nil, `<html>`}, "the answer is none of Feishu: look at the URL", 0},
		{store.ChannelFeishu, answer{200, nil, `{}`}, "the answer is none of Feishu: look at the URL", 0},
		{store.ChannelDingTalk, answer{200, nil, `{"errcode":310000,"errmsg":"sign not match\nat all"}`}, "DingTalk answered 310000: sign not match at all", 0},
		{store.ChannelDingTalk, answer{200, nil, `{"errcode":130101,"errmsg":"send too fast"}`}, "DingTalk answered 130101: send too fast", 10 * time.Minute},
		{store.ChannelDingTalk, answer{502, nil, `bad gateway`}, "the receiver answered 502 Bad Gateway", 0},
		{store.ChannelWeCom, answer{200, nil, `{"errcode":93000,"errmsg":"invalid webhook url"}`}, "WeCom answered 93000: invalid webhook url", 0},
		{store.ChannelWeCom, answer{200, nil, `{"errcode":45009,"errmsg":"api freq out of limit"}`}, "WeCom answered 45009: api freq out of limit", time.Minute},
		{store.ChannelWeCom, answer{200, nil, `{"code":0}`}, "the answer is none of WeCom: look at the URL", 0},
		{store.ChannelSlack, answer{404, nil, `no_service`}, "the receiver answered 404 Not Found", 0},
		{store.ChannelSlack, answer{429, http.Header{"Retry-After": {"1800"}}, `rate_limited`}, "the receiver answered 429 Too Many Requests", 30 * time.Minute},
	} {
		t.Run(string(x.channel)+" "+x.problem, func(t *testing.T) {
			r := newRoom(t, x.answer)
			k := newDesk(t, dbtest.SQLite(t)(t), r.roots(), nil)
			k.save(r.put(x.channel, ""))
			k.happen(event.Event{Type: event.ArtifactPushed, Subject: "team/app@sha256:1"})
			k.deliver()
			d := k.deliveries()[0]
			if d.State != store.DeliveryWaiting || d.Error != x.problem || d.Status != int64(x.answer.status) || d.Attempts != 1 {
				t.Fatalf("%+v", d)
			}
			next := k.jobs[len(k.jobs)-1]
			due, runs := d.DueAt.Sub(d.TriedAt).Round(time.Second), next.At.Sub(d.TriedAt).Round(time.Second)
			if len(k.jobs) != 2 || next.Delivery != "" || due < x.wait || runs < x.wait || runs > max(x.wait, time.Minute) {
				t.Errorf("due %s and tried %s after; %d jobs", due, runs, len(k.jobs))
			}
			k.happen(event.Event{Type: event.TagCreated, Subject: "team/app:v2"})
			k.deliver()
			if got := said(t, x.channel, r.bodies[len(r.bodies)-1]); !strings.Contains(got, "2 events") || !strings.Contains(got, "team/app@sha256:1 was pushed") {
				t.Errorf("%q", got)
			}
			for _, d := range k.deliveries() {
				if d.State != store.DeliveryDelivered || d.Error != "" {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// What others have named is told as mere text: it is on its line, and nothing in it mentions, links, styles or hides.
func TestChatHostileNames(t *testing.T) {
	const evil = "x\r\n# head\u2028> quote <at user_id=\"all\">all</at> <!channel> <@U1> @all @everyone [link](https://evil.test) <http://evil.test|ok> " +
		"**b** `c` ~s~ <font color=\"warning\">w</font> \x00\x1b[31m \u202egnp.exe\u202c \u200b & \\n"
	data := map[string]any{"repository": "team/app", "tags": []string{evil}, "error": evil, "identity": evil, "kind": evil,
		"new": []event.NewFound{{ID: evil, Severity: evil, Package: evil}}}
	for _, c := range chats() {
		t.Run(string(c), func(t *testing.T) {
			r := newRoom(t)
			k := newDesk(t, dbtest.SQLite(t)(t), r.roots(), nil)
			k.save(r.put(c, ""))
			k.happen(event.Event{Type: event.ArtifactVulnerable, Subject: "team/app@sha256:0123456789abcdef", Data: data},
				event.Event{Type: event.JobDead, Subject: evil, Data: data})
			k.deliver()
			got := said(t, c, r.bodies[0])
			if !strings.Contains(got, "team/app@sha256:0123456789ab has new") || !strings.Contains(got, "evil.test") {
				t.Errorf("%q", got)
			}
			for _, bad := range []string{"<", ">", "@all", "@every", "@U1", "[", "]", "`", "*", "~", "://"} {
				if strings.Contains(got, bad) {
					t.Errorf("%q in %q", bad, got)
				}
			}
			if c == store.ChannelSlack && (!strings.Contains(got, "&lt;!channel&gt;") || strings.Contains(got, " & ") || !strings.Contains(got, "&amp;")) {
				t.Errorf("%q", got)
			}
			lines := strings.Split(got, "\n")
			if len(lines) != 3 || lines[0] != "Hallmark: 2 events" || !strings.HasPrefix(lines[1], "- team/app") || !strings.HasPrefix(lines[2], "- job x") {
				t.Errorf("%q", lines)
			}
			if strings.ContainsFunc(strings.Join(lines, ""), func(c rune) bool { return !unicode.IsGraphic(c) }) {
				t.Errorf("%q", got)
			}
		})
	}
}

// Many events are one message of at most 20, within what a chat takes, and the next message has the rest.
func TestChatCoalesces(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		r := newRoom(t)
		k := newDesk(t, open(t), r.roots(), nil)
		k.save(r.put(store.ChannelFeishu, ""))
		var all []event.Event
		for i := range 25 {
			all = append(all, event.Event{Type: event.TagMoved, Subject: fmt.Sprintf("team/app:v%d.", i)})
		}
		k.happen(all...)
		k.deliver()
		k.deliver()
		n := len(k.jobs)
		k.deliver() // there is nothing more
		if len(r.bodies) != 2 || len(k.jobs) != n || n != 26 {
			t.Fatalf("%d messages, %d jobs, then %d", len(r.bodies), n, len(k.jobs))
		}
		first, second := said(t, store.ChannelFeishu, r.bodies[0]), said(t, store.ChannelFeishu, r.bodies[1])
		if !strings.HasPrefix(first, "Hallmark: 20 events\n- team/app:v0. ") || strings.Count(first, "\n") != 20 || !strings.Contains(first, "v19. ") ||
			!strings.HasPrefix(second, "Hallmark: 5 events\n- team/app:v20. ") || strings.Count(second, "\n") != 5 {
			t.Errorf("%q %q", first, second)
		}
	})
}

// The largest message there can be is within the limit of each chat, and says how many it left out.
func TestChatLargest(t *testing.T) {
	limits := map[store.Channel]int{store.ChannelFeishu: 20 << 10, store.ChannelDingTalk: 20 << 10, store.ChannelSlack: 40000}
	for _, c := range chats() {
		for _, filler := range []string{"漏洞", `"\`, "&<>", "@[]*"} {
			t.Run(string(c)+" "+filler, func(t *testing.T) {
				r := newRoom(t)
				k := newDesk(t, dbtest.SQLite(t)(t), r.roots(), nil)
				k.save(r.put(c, "a secret"))
				var all []event.Event
				for range 20 {
					all = append(all, event.Event{Type: event.JobDead, Subject: "1", Data: map[string]string{"error": strings.Repeat(filler, 2000)}})
				}
				k.happen(all...)
				k.deliver()
				got := said(t, c, r.bodies[0])
				if limit, ok := limits[c]; ok && len(r.bodies[0]) > limit || c == store.ChannelWeCom && len(got) > 4096 {
					t.Errorf("%d bytes, %d of text", len(r.bodies[0]), len(got))
				}
				var left int
				lines := strings.Split(got, "\n")
				if last := lines[len(lines)-1]; strings.HasPrefix(last, "+") {
					left, _ = strconv.Atoi(last)
					lines = lines[:len(lines)-1]
				}
				if len(lines)-1+left != 20 || len(lines) < 2 || c == store.ChannelWeCom && left == 0 {
					t.Errorf("%d lines and %d left out", len(lines), left)
				}
			})
		}
	}
}
