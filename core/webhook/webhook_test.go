package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/migrations"
)

// An event reaches a receiver signed, once, and none is written where nobody subscribes. Without leave no private address is dialled.
func TestDeliver(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key)
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
			want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
			var e struct{ Type, Subject string }
			if err != nil || json.Unmarshal(body, &e) != nil || r.Header.Get("Webhook-Signature") != want {
				t.Errorf("%v %s %v", err, body, r.Header)
			}
			got = append(got, e.Type+" "+e.Subject)
		}))
		defer receiver.Close()
		d := open(t)
		ctx := core.WithPrincipal(context.Background(), core.System())
		must(migrations.Up(ctx, d))
		s := store.New(d)
		ring, err := seal.New(make([]byte, seal.KeySize))
		must(err)
		var jobs []webhook.Job
		opt := webhook.Options{Store: s, Keyring: ring, Source: "https://hub.test", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Enqueue: func(_ *db.Tx, j webhook.Job) error { jobs = append(jobs, j); return nil }}
		sender := webhook.New(opt)
		p, err := s.CreateProject(ctx, store.NewProject{Name: "team"})
		must(err)
		url := receiver.URL + "/a-key-canary"
		_, _, err = sender.Save(ctx, p, "told", store.WebhookPut{Channel: store.ChannelHTTP, URL: &url, Secret: &secret, Events: []string{"artifact.*"}}, 0)
		must(err)
		other, err := s.CreateProject(ctx, store.NewProject{Name: "other"})
		must(err)
		must(d.Write(ctx, func(tx *db.Tx) error {
			for _, project := range []string{p.ID, other.ID} {
				if err := event.Write(tx, event.Event{Type: event.ArtifactPushed, Project: project, Subject: "team/app@sha256:1", Data: event.Artifact{Repository: "team/app"}}); err != nil {
					return err
				}
			}
			return nil
		}))
		n, err := sender.Dispatch(ctx)
		must(err)
		if n != 1 || len(jobs) != 1 {
			t.Fatalf("%d events, %d jobs", n, len(jobs))
		}
		finish := func(ctx context.Context, f func(tx *db.Tx) error) error { return d.Write(ctx, f) }
		must(sender.Deliver(ctx, jobs[0], finish))
		must(sender.Deliver(ctx, jobs[0], finish)) // again does nothing
		if strings.Join(got, ",") != "io.hallmark.artifact.pushed team/app@sha256:1" {
			t.Errorf("%q", got)
		}
		w, err := s.Webhook(ctx, p, "told")
		must(err)
		all, _, err := s.Deliveries(ctx, w, "", 10)
		must(err)
		if len(all) != 1 || all[0].State != store.DeliveryDelivered || all[0].Status != 200 || all[0].Attempts != 1 {
			t.Errorf("%+v", all)
		}
		opt.Allow = nil
		tested, err := webhook.New(opt).Test(ctx, p, "told")
		must(err)
		if tested.OK || !strings.Contains(tested.Message, "HALLMARK_WEBHOOK_ALLOW") || strings.Contains(tested.Message, "canary") || len(got) != 1 {
			t.Errorf("%+v", tested)
		}
	})
}
