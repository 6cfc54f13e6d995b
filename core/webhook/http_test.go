package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
)

// What becomes of a delivery by how it was answered.
func TestAnswers(t *testing.T) {
	eachOutside(t, func(h *outside) {
		elsewhere := h.receiver(nil)
		for i, c := range []struct {
			answer  http.HandlerFunc
			state   store.DeliveryState
			status  int64
			problem string
			wait    time.Duration // to the next attempt
		}{
			{status(200), store.DeliveryDelivered, 200, "", 0},
			{status(204), store.DeliveryDelivered, 204, "", 0},
			{status(299), store.DeliveryDelivered, 299, "", 0},
			{status(302, "Location", elsewhere.URL), store.DeliveryWaiting, 302, "302 Found", 10 * time.Second},
			{status(307, "Location", elsewhere.URL), store.DeliveryWaiting, 307, "307 Temporary", 10 * time.Second},
			{status(404), store.DeliveryWaiting, 404, "404 Not Found", 10 * time.Second},
			{status(500), store.DeliveryWaiting, 500, "500 Internal", 10 * time.Second},
			{status(503, "Retry-After", "7200"), store.DeliveryWaiting, 503, "503", 2 * time.Hour},
			{status(429, "Retry-After", "1"), store.DeliveryWaiting, 429, "429", 10 * time.Second},
			{status(429, "Retry-After", "2147483647"), store.DeliveryWaiting, 429, "429", 24 * time.Hour},
			{status(410), store.DeliveryFailed, 410, "410", 0},
		} {
			name := fmt.Sprintf("w%d", i)
			r := h.receiver(c.answer)
			h.make(h.team, name, r.URL, nil)
			h.pushed()
			h.pushed()
			jobs := h.dispatch()
			h.run(jobs[0])
			var tried *store.Delivery
			for _, d := range h.told(h.team, name) {
				if d.ID == jobs[0].Delivery {
					tried = d
				}
			}
			if tried == nil || tried.State != c.state || tried.Status != c.status || !strings.Contains(tried.Error, c.problem) || (c.problem == "") != (tried.Error == "") ||
				tried.Attempts != 1 || len(r.headers()) != 1 || len(elsewhere.headers()) != 0 {
				t.Fatalf("%d: %+v", c.status, tried)
			}
			if again := h.made(); c.wait > 0 {
				between(t, "the next attempt", tried.DueAt.Sub(tried.TriedAt), c.wait-time.Second, c.wait+c.wait/4+2*time.Second)
				if len(again) != 1 || again[0].Delivery != tried.ID || again[0].At.UnixMicro() != tried.DueAt.UnixMicro() {
					t.Errorf("%d: jobs %+v", c.status, again)
				}
			} else if len(again) != 0 {
				t.Errorf("%d: jobs %+v", c.status, again)
			}
			w := h.hook(h.team, name)
			if gone := c.status == 410; w.Paused != gone || (w.Problem != "") != gone || gone != (h.count(`SELECT COUNT(*) FROM delivery WHERE state = 'failed' AND webhook_id = $1`, w.ID) == 2) {
				t.Errorf("%d: %+v", c.status, w)
			}
			h.ok(h.store.DeleteWebhook(h.ctx, h.team, name, store.AnyRevision))
		}
	})
}

// Who does not take it is tried eight times, ever later, and then no more.
func TestAttempts(t *testing.T) {
	eachOutside(t, func(h *outside) {
		r := h.receiver(status(500))
		h.make(h.team, "w", r.URL, nil)
		h.pushed()
		jobs := h.dispatch()
		for i, wait := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 0} {
			h.run(jobs...)
			d := h.told(h.team, "w")[0]
			if d.Attempts != int64(i+1) || len(r.headers()) != i+1 {
				t.Fatalf("%+v", d)
			}
			if jobs = h.made(); wait == 0 {
				if d.State != store.DeliveryFailed || len(jobs) != 0 || d.Answer != "answer 500" {
					t.Errorf("in the end: %+v, jobs %+v", d, jobs)
				}
				break
			}
			between(t, "the next attempt", d.DueAt.Sub(d.TriedAt), wait-time.Second, wait+wait/5+time.Second)
			h.run(jobs...) // too early: nothing is sent
			if len(r.headers()) != i+1 || len(h.made()) != 0 {
				t.Fatal("it was sent before its time")
			}
			h.due()
		}
		ids := map[string]bool{}
		for _, got := range r.headers() {
			ids[got.Get("Webhook-Id")] = true
		}
		if len(ids) != 1 {
			t.Errorf("ids %v", ids)
		}
	})
}

// However a receiver answers, it does not keep the hub for long, nor make it read or keep much.
func TestEndlessAnswers(t *testing.T) {
	h := newOutside(t, dbtest.SQLite(t))
	end := make(chan struct{})
	t.Cleanup(func() { close(end) }) // before the servers are closed
	hang := func(first string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if first != "" {
				w.WriteHeader(200)
				fmt.Fprint(w, first)
				w.(http.Flusher).Flush()
			}
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(bytes.Repeat([]byte("a"), 32<<10)); err != nil {
				return
			}
		}
	}
	manyHeaders := func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
		}
	}
	h.opt.Patience = 300 * time.Millisecond
	impatient := webhook.New(h.opt)
	for name, c := range map[string]struct {
		sender *webhook.Sender
		answer http.HandlerFunc
		ok     bool
	}{"hangs": {impatient, hang(""), false}, "hangs midway": {impatient, hang("a"), true}, "endless": {h.sender, endless, true}, "headers": {h.sender, manyHeaders, false}} {
		h.make(nil, "w", h.receiver(c.answer).URL, nil)
		got, err := c.sender.Test(h.ctx, nil, "w")
		if err != nil || got.OK != c.ok || (got.Message == "") != c.ok || len(got.Answer) > 512 || strings.Contains(got.Message, "127.0.0.1") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		h.ok(h.store.DeleteWebhook(h.ctx, nil, "w", store.AnyRevision))
	}
}

// signedBy reports with which of the secrets a message was signed, in order.
func signedBy(t *testing.T, header http.Header, body string, secrets ...*string) string {
	t.Helper()
	var out []string
	for _, signature := range strings.Fields(header.Get("Webhook-Signature")) {
		for _, s := range secrets {
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(*s, "whsec_"))
			if err != nil {
				t.Fatal(err)
			}
			mac := hmac.New(sha256.New, key)
			fmt.Fprintf(mac, "%s.%s.%s", header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), body)
			if signature == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
				out = append(out, string(key[:1]))
			}
		}
	}
	return strings.Join(out, " ")
}

// A new secret signs beside the one before it, and a secret is for the host and channel alone that it was given for.
func TestSecrets(t *testing.T) {
	eachOutside(t, func(h *outside) {
		var body bytes.Buffer
		var header http.Header
		r := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			body.Reset()
			if _, err := body.ReadFrom(req.Body); err != nil {
				t.Error(err)
			}
			header = req.Header
		}))
		defer r.Close()
		a, b, c := secretOf('a'), secretOf('b'), secretOf('c')
		signed := func(want string) {
			t.Helper()
			got, err := h.sender.Test(h.ctx, h.team, "w")
			if err != nil || !got.OK {
				t.Fatalf("%+v %v", got, err)
			}
			if by := signedBy(t, header, body.String(), a, b, c); by != want || (want == "") != (header.Get("Webhook-Signature") == "") {
				t.Errorf("signed by %q, and not %q: %v", by, want, header)
			}
		}
		secret := func(s *string) func(n *store.WebhookPut) { return func(n *store.WebhookPut) { n.Secret = s } }
		h.make(h.team, "w", r.URL, nil)
		signed("")
		for _, step := range []struct {
			secret *string
			want   string
		}{{a, "a"}, {nil, "a"}, {a, "a"}, {b, "b a"}, {nil, "b a"}, {b, "b a"}, {c, "c b"}} {
			h.ok(h.put(h.team, "w", r.URL, secret(step.secret)))
			signed(step.want)
		}
		other := strings.Replace(r.URL, "127.0.0.1", "localhost", 1)
		if err := h.put(h.team, "w", other, nil); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("the secret went to another host: %v", err)
		}
		slack := func(n *store.WebhookPut) { n.Channel = store.ChannelSlack }
		if err := h.put(h.team, "w", strings.Replace(r.URL, "http:", "https:", 1), slack); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("the secret went to another channel: %v", err)
		}
		signed("c b")
		h.ok(h.put(h.team, "w", other, secret(c)))
		h.ok(h.put(h.team, "w", r.URL, secret(c)))
		signed("c") // the one before it was for the first host alone
		h.ok(h.put(h.team, "w", other, secret(a)))
		h.ok(h.put(h.team, "w", r.URL, secret(b)))
		signed("b")
	})
}

// What is sealed opens in its own row alone, and under the key that sealed it.
func TestSealedElsewhere(t *testing.T) {
	eachOutside(t, func(h *outside) {
		r := h.receiver(nil)
		for _, name := range []string{"one", "two"} {
			h.make(h.team, name, r.URL, func(n *store.WebhookPut) { n.Secret = secretOf(name[0]) })
		}
		h.exec(`UPDATE webhook SET sealed = (SELECT sealed FROM webhook WHERE name = 'one') WHERE name = 'two'`)
		h.pushed()
		h.run(h.dispatch()...)
		d := h.told(h.team, "two")[0]
		if d.State != store.DeliveryFailed || d.Attempts != 1 || !strings.Contains(d.Error, "save the webhook again") || len(r.headers()) != 1 {
			t.Errorf("%+v", d)
		}
		ring, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
		h.ok(err)
		h.opt.Keyring = ring
		got, err := webhook.New(h.opt).Test(h.ctx, h.team, "one")
		if err != nil || got.OK || len(r.headers()) != 1 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

// A worker that dies between sending and writing has it sent again, with the same id.
func TestSentAgain(t *testing.T) {
	eachOutside(t, func(h *outside) {
		r := h.receiver(nil)
		h.make(h.team, "w", r.URL, nil)
		h.pushed()
		jobs := h.dispatch()
		dying, die := context.WithCancel(h.ctx)
		if err := h.sender.Deliver(dying, jobs[0], func(ctx context.Context, f func(tx *db.Tx) error) error {
			die() // sent, and not written
			return h.db.Write(ctx, f)
		}); err == nil {
			t.Fatal("a dead worker has written")
		}
		if d := h.told(h.team, "w")[0]; d.State != store.DeliveryWaiting || d.Attempts != 0 {
			t.Errorf("%+v", d)
		}
		if got := h.dispatch(); len(got) != 0 { // its job will come again
			t.Errorf("jobs %+v", got)
		}
		h.due() // long ago: its job was lost
		jobs = h.dispatch()
		if len(jobs) != 1 {
			t.Fatalf("jobs %+v", jobs)
		}
		h.run(jobs...)
		h.run(jobs...)
		got := r.headers()
		if len(got) != 2 || got[0].Get("Webhook-Id") != got[1].Get("Webhook-Id") || got[0].Get("Webhook-Id") == "" {
			t.Errorf("sent %v", got)
		}
		if d := h.told(h.team, "w")[0]; d.State != store.DeliveryDelivered || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
	})
}
