package webhook_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
)

// Who is told of what: by scope, type, repository and severity; and nothing is written where nobody is told anything.
func TestWhoIsTold(t *testing.T) {
	eachOutside(t, func(h *outside) {
		h.pushed()
		if n := h.count(`SELECT COUNT(*) FROM event`); n != 0 {
			t.Errorf("%d events that nobody is told", n)
		}
		other, err := h.store.CreateProject(h.ctx, store.NewProject{Name: "other"})
		h.ok(err)
		hook := func(p *core.Project, name string, events, repositories []string, least core.Severity) {
			h.make(p, name, "https://hooks.example.org/"+name, func(n *store.WebhookPut) {
				n.Events, n.Repositories, n.MinSeverity, n.Paused = events, repositories, least, name == "paused"
			})
		}
		hook(nil, "hub", []string{"*"}, nil, "")
		hook(nil, "paused", []string{"*"}, nil, "")
		hook(h.team, "all", []string{"*"}, nil, "")
		hook(h.team, "pushes", []string{"artifact.pushed"}, nil, "")
		hook(h.team, "artifacts", []string{"artifact.*", "artifact.pushed"}, nil, "")
		hook(h.team, "tags", []string{"tag.*"}, nil, "")
		hook(h.team, "deep", []string{"*"}, []string{"team/deep/**", "team/only"}, "")
		hook(h.team, "high", []string{"artifact.vulnerable", "artifact.pushed"}, nil, core.SeverityHigh)
		hook(other, "others", []string{"*"}, nil, "")
		vulnerable := func(s string) event.Vulnerable { return event.Vulnerable{Repository: "team/app", Severity: s} }
		for _, c := range []struct {
			project string
			t       event.Type
			subject string
			data    any
			want    string
		}{
			{h.team.ID, event.ArtifactPushed, "team/app@sha256:1", event.Artifact{Repository: "team/app"}, "all artifacts high hub pushes"},
			{h.team.ID, event.ArtifactPushed, "team/deep/a/b@sha256:1", event.Artifact{Repository: "team/deep/a/b"}, "all artifacts deep high hub pushes"},
			{h.team.ID, event.ArtifactDeleted, "team/only@sha256:1", nil, "all artifacts deep hub"},
			{h.team.ID, event.TagMoved, "team/only:v1", nil, "all deep hub tags"},
			{h.team.ID, event.ArtifactVulnerable, "team/app@sha256:1", vulnerable("Medium"), "all artifacts hub"},
			{h.team.ID, event.ArtifactVulnerable, "team/app@sha256:1", vulnerable("High"), "all artifacts high hub"},
			{h.team.ID, event.ArtifactVulnerable, "team/app@sha256:1", vulnerable("Critical"), "all artifacts high hub"},
			{h.team.ID, event.ArtifactVulnerable, "team/app@sha256:1", vulnerable("Unknown"), "all artifacts high hub"},
			{h.team.ID, event.PolicyChanged, "team/p", nil, "all hub"},
			{"", event.JobDead, "job", nil, "hub"},
			{other.ID, event.ArtifactPushed, "other/app@sha256:1", nil, "hub others"},
		} {
			h.happen(c.project, c.t, c.subject, c.data)
			jobs := h.dispatch()
			var got []string
			for _, j := range jobs {
				w, found, err := h.store.WebhookByID(h.ctx, j.Webhook)
				if err != nil || !found || j.Target != "hooks.example.org" {
					t.Fatalf("%+v %v %v", j, found, err)
				}
				got = append(got, w.Name)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s of %s: told %q, and not %q", c.t, c.subject, got, c.want)
			}
		}
		if len(h.dispatch()) != 0 {
			t.Error("it is dispatched twice")
		}
	})
}

// Again, with the same id; sooner than the next attempt; and to nobody else's webhook.
func TestRedeliver(t *testing.T) {
	eachOutside(t, func(h *outside) {
		var code atomic.Int64
		code.Store(500)
		r := h.receiver(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) })
		for _, name := range []string{"w", "other"} {
			h.make(h.team, name, r.URL, func(n *store.WebhookPut) {
				if name == "other" {
					n.Events = []string{"tag.*"}
				}
			})
		}
		h.pushed()
		h.run(h.dispatch()...)
		h.made()
		id := h.told(h.team, "w")[0].ID
		code.Store(200)
		for range 2 { // one that waits, and one that was delivered
			d, err := h.sender.Redeliver(h.ctx, h.team, "w", id)
			h.ok(err)
			jobs := h.made()
			if d.State != store.DeliveryWaiting || d.Attempts != 0 || len(jobs) != 1 || jobs[0].At.After(h.store.Now()) {
				t.Errorf("%+v, jobs %+v", d, jobs)
			}
			h.run(jobs...)
			if d := h.told(h.team, "w")[0]; d.State != store.DeliveryDelivered || d.Attempts != 1 {
				t.Errorf("%+v", d)
			}
		}
		got := r.headers()
		if len(got) != 3 || got[0].Get("Webhook-Id") != got[2].Get("Webhook-Id") {
			t.Errorf("sent %v", got)
		}
		for _, c := range []struct {
			p        *core.Project
			name, id string
		}{{h.team, "other", id}, {nil, "w", id}, {h.team, "w", store.NewID()}, {h.team, "none", id}} {
			if _, err := h.sender.Redeliver(h.ctx, c.p, c.name, c.id); core.CodeOf(err) != core.CodeNotFound {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		h.ok(h.put(h.team, "w", r.URL, func(n *store.WebhookPut) { n.Paused = true }))
		if _, err := h.sender.Redeliver(h.ctx, h.team, "w", id); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("it is paused: %v", err)
		}
		if got, err := h.sender.Test(h.ctx, h.team, "w"); err != nil || !got.OK || got.Status != 200 { // before it goes on
			t.Errorf("%+v %v", got, err)
		}
		if n := h.count(`SELECT COUNT(*) FROM delivery`); n != 1 {
			t.Errorf("%d deliveries: a test is none", n)
		}
	})
}

// At each limit, and one past it.
func TestLimits(t *testing.T) {
	eachOutside(t, func(h *outside) {
		const url = "https://hooks.example.org/"
		code := func(what string, err error, ok bool, want core.ErrorCode) {
			t.Helper()
			if ok && err != nil || !ok && core.CodeOf(err) != want {
				t.Errorf("%s: %v", what, err)
			}
		}
		for i := range 50 {
			h.make(h.team, fmt.Sprintf("w%d", i), url, nil)
		}
		code("the 51st", h.put(h.team, "more", url, nil), false, core.CodeLimit)
		code("one that is there", h.put(h.team, "w0", url, nil), true, "")
		code("of the hub", h.put(nil, "w", url, nil), true, "")
		list := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
		padded := func(n int) string { return url + strings.Repeat("a", n-len(url)) }
		host := func(n int) string { return "https://" + strings.Repeat("a", n) + "/" }
		for _, at := range []int{0, 1} {
			ok := at == 0
			for what, change := range map[string]func(n *store.WebhookPut){
				"events":       func(n *store.WebhookPut) { n.Events = list(20+at, "*") },
				"repositories": func(n *store.WebhookPut) { n.Repositories = list(20+at, "team/**") },
				"a repository": func(n *store.WebhookPut) { n.Repositories = list(1, strings.Repeat("a", 255+at)) },
				"url":          func(n *store.WebhookPut) { u := padded(2048 + at); n.URL = &u },
				"host":         func(n *store.WebhookPut) { u := host(255 + at); n.URL = &u },
			} {
				code(fmt.Sprintf("%s, %d past", what, at), h.put(nil, "w", url, change), ok, core.CodeInvalid)
			}
		}
		for what, change := range map[string]func(n *store.WebhookPut){
			"no events":   func(n *store.WebhookPut) { n.Events = nil },
			"no event":    func(n *store.WebhookPut) { n.Events = list(1, "artifact.eaten") },
			"no pattern":  func(n *store.WebhookPut) { n.Repositories = list(1, "Team/App") },
			"no severity": func(n *store.WebhookPut) { n.MinSeverity = "Bad" },
			"no secret":   func(n *store.WebhookPut) { s := "secret"; n.Secret = &s },
			"mail":        func(n *store.WebhookPut) { n.Recipients = list(1, "a@example.org") },
		} {
			code(what, h.put(nil, "w", url, change), false, core.CodeInvalid)
		}
		for _, bad := range []string{"", "hooks.example.org", "ftp://hooks.example.org", "https://", "https://u:p@hooks.example.org/", "https://hooks.example.org/#a", "https://a\nb/", "file:///etc/passwd"} {
			code(bad, h.put(nil, "w", bad, nil), false, core.CodeInvalid)
		}
		// Data of an event, and what is sent.
		for n, want := range map[int]string{128 << 10: `"`, 128<<10 + 1: `{`} {
			h.happen("", event.JobDead, "job", strings.Repeat("a", n-2))
			if got := h.count(`SELECT COUNT(*) FROM event WHERE substr(data, 1, 1) = $1`, want); got != 1 {
				t.Errorf("%d bytes: %d events begin with %s", n, got, want)
			}
		}
	})
}

// The body that is sent has a limit of its own.
func TestBodyLimit(t *testing.T) {
	eachOutside(t, func(h *outside) {
		r := h.receiver(nil)
		h.make(nil, "w", r.URL, nil)
		sent := func(data string) *store.Delivery {
			h.happen("", event.JobDead, "job", nil)
			h.exec(`UPDATE event SET data = $1 WHERE NOT dispatched`, data)
			h.run(h.dispatch()...)
			return h.told(nil, "w")[0]
		}
		ok := sent(`"` + strings.Repeat("a", 250<<10) + `"`)
		past := sent(`"` + strings.Repeat("a", 256<<10) + `"`)
		if ok.State != store.DeliveryDelivered || past.State != store.DeliveryFailed || past.Attempts != 1 || len(r.headers()) != 1 {
			t.Errorf("%s %s %s", ok.State, past.State, past.Error)
		}
	})
}

// nameserver answers with the next of the addresses each time that it is asked for one.
func nameserver(t *testing.T, addresses ...[4]byte) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			q := buffer[:n]
			end := 12 // of the question
			for q[end] != 0 {
				end += int(q[end]) + 1
			}
			end += 5
			answer := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
			if q[end-3] == 1 { // A
				answer[7] = 1
				ip := addresses[min(int(asked.Add(1)), len(addresses))-1]
				answer = append(append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
			}
			if _, err := conn.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// V-08: a name that is public when it is looked at and private when it is dialled is of no use, nor is any way to write an address.
func TestGuard(t *testing.T) {
	h := newOutside(t, dbtest.SQLite(t))
	r := h.receiver(nil)
	r.Config.SetKeepAlivesEnabled(false)
	try := func(opt webhook.Options, url string) webhook.Tested {
		t.Helper()
		h.ok(h.put(nil, "w", url, nil))
		got, err := webhook.New(opt).Test(h.ctx, nil, "w")
		h.ok(err)
		return got
	}
	h.make(nil, "w", r.URL, nil)
	rebound := h.opt
	rebound.Resolver = nameserver(t, [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}, [4]byte{169, 254, 169, 254})
	url := "http://rebound.example.org:" + r.port() + "/"
	if got := try(rebound, url); !got.OK {
		t.Errorf("%+v", got)
	}
	for range 2 {
		if got := try(rebound, url); got.OK || !strings.Contains(got.Message, "HALLMARK_WEBHOOK_ALLOW") || strings.Contains(got.Message, "127.") {
			t.Errorf("%+v", got)
		}
	}
	closed := h.opt
	closed.Allow = nil
	closed.Resolver = nameserver(t, [4]byte{127, 0, 0, 1}) // whoever takes an odd address for a name finds this machine
	said := map[string]map[string]bool{"http": {}, "https": {}}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "169.254.169.254", "[fe80::1%25lo]", "10.0.0.1",
		"2130706433", "0177.0.0.1", "0x7f.1", "127.1"} {
		for scheme, all := range said {
			got := try(closed, scheme+"://"+host+":"+r.port()+"/")
			if got.OK || got.Status != 0 {
				t.Errorf("%s %s: %+v", scheme, host, got)
			}
			if got.Message != "its host has no address: look at the URL" { // as no name is a number
				all[got.Message] = true
			}
		}
	}
	// Whether something answers there is not to be found out.
	if len(said["http"]) != 1 || len(said["https"]) != 1 || !strings.Contains(fmt.Sprint(said["https"]), "HALLMARK_WEBHOOK_ALLOW") || len(r.headers()) != 1 {
		t.Errorf("%v; %d came through", said, len(r.headers()))
	}
	// A public address, of which nobody is asked here, is for TLS alone.
	if got := try(closed, "http://8.8.8.8:"+r.port()); got.OK || !strings.Contains(got.Message, "without TLS") {
		t.Errorf("%+v", got)
	}
	t.Setenv("HTTP_PROXY", r.URL)
	t.Setenv("HTTPS_PROXY", r.URL)
	if got := try(closed, "http://10.0.0.1/"); got.OK || len(r.headers()) != 1 {
		t.Errorf("by a proxy: %+v", got)
	}
	wide := h.opt
	wide.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if got := try(wide, "http://169.254.169.254/latest/meta-data"); got.OK || !strings.Contains(got.Message, "HALLMARK_WEBHOOK_ALLOW") {
		t.Errorf("%+v", got)
	}
}

// V-45: no key of an address and no secret stands in a row, an answer or the log, whatever the receiver says.
func TestNoSecrets(t *testing.T) {
	eachOutside(t, func(h *outside) {
		const key = "canary-in-the-path"
		secret := secretOf('c')
		r := h.receiver(func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(500)
			fmt.Fprintf(w, "no %s at http://%s%s, %s, %s, %s", req.URL.Path, req.Host, req.RequestURI, *secret, strings.TrimPrefix(*secret, "whsec_"), req.URL.Query().Get("k"))
		})
		url := r.URL + "/" + key + "?k=canary-in-the-query"
		h.make(h.team, "w", url, func(n *store.WebhookPut) { n.Secret = secret })
		h.ok(h.put(h.team, "w", url, func(n *store.WebhookPut) { n.Secret = secretOf('d') })) // signs beside the one before it
		h.pushed()
		h.run(h.dispatch()...)
		tested, err := h.sender.Test(h.ctx, h.team, "w")
		h.ok(err)
		r.Close()
		gone, err := h.sender.Test(h.ctx, h.team, "w")
		h.ok(err)
		text := fmt.Sprintf("%+v %+v %+v %s %+v", tested, gone, h.made(), h.log.String(), *h.hook(h.team, "w"))
		h.ok(h.db.Query(h.ctx, `SELECT error || ' ' || answer FROM delivery UNION ALL SELECT detail FROM audit UNION ALL SELECT data FROM event
			UNION ALL SELECT host || problem || name FROM webhook`, nil, func(row func(...any) error) error {
			var s string
			err := row(&s)
			text += " " + s
			return err
		}))
		for _, word := range []string{"canary", *secret, strings.TrimPrefix(*secret, "whsec_"), *secretOf('d')} {
			if strings.Contains(text, word) {
				t.Errorf("%q stands in %s", word, text)
			}
		}
		if !strings.Contains(text, "no ***") || tested.OK || gone.OK {
			t.Errorf("nothing was told: %s", text)
		}
	})
}

// Events go when their time is over and nobody waits to be told, and their record goes with them.
func TestDropEvents(t *testing.T) {
	eachOutside(t, func(h *outside) {
		r := h.receiver(nil)
		h.make(h.team, "w", r.URL, nil)
		h.pushed()
		h.run(h.dispatch()...)
		h.pushed()
		h.dispatch() // waits
		h.pushed()   // is not looked at yet
		drop := func(before time.Time, n int) (dropped int64) {
			h.ok(h.db.Write(h.ctx, func(tx *db.Tx) (err error) {
				dropped, err = store.DropEvents(tx, before, n)
				return err
			}))
			return dropped
		}
		if n := drop(h.store.Now().Add(-time.Hour), 10); n != 0 {
			t.Errorf("%d went before their time", n)
		}
		later := h.store.Now().Add(time.Hour)
		if n := drop(later, 10); n != 1 || len(h.told(h.team, "w")) != 1 {
			t.Errorf("%d went", n)
		}
		h.dispatch()
		h.exec(`UPDATE delivery SET state = 'failed'`)
		if a, b, c := drop(later, 1), drop(later, 1), drop(later, 1); a != 1 || b != 1 || c != 0 {
			t.Errorf("%d, %d, %d went", a, b, c)
		}
	})
}
