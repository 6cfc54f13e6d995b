package work_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/migrations"
)

// inbox notes how often each message came.
type inbox struct {
	mu   sync.Mutex
	got  map[string]int
	told chan struct{}
}

func (b *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got[r.Header.Get("Webhook-Id")]++
	b.told <- struct{}{}
}

// teller is a process that tells others what happened.
func teller(t *testing.T, d *db.DB, q queue.Queue, ring *seal.Keyring) *webhook.Sender {
	s := store.New(d)
	jobs := jobservice.New(d, q, jobservice.Options{Drain: -1})
	sender := webhook.New(webhook.Options{Store: s, Keyring: ring, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Enqueue: work.EnqueueDelivery(jobs)})
	jobs.Register(work.KindDispatch, work.Dispatch(sender.Dispatch))
	jobs.Register(work.KindDeliver, work.Deliver(sender.Deliver))
	waker := work.NewEventWaker(s, jobs, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	if err := d.Follow(ctx); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { jobs.Run(ctx) })
	all.Go(func() { waker.Run(ctx) })
	t.Cleanup(func() { cancel(); all.Wait() })
	return sender
}

// Two processes on Postgres and Redis: everybody is told everything once.
func TestTwoTellers(t *testing.T) {
	open := dbtest.Postgres(t)
	server, err := redis.Open(t.Context(), redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	ring, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	const events, hooks = 40, 3
	box := &inbox{got: map[string]int{}, told: make(chan struct{}, 10*events*hooks)}
	receiver := httptest.NewServer(box)
	t.Cleanup(receiver.Close)
	ctx := core.WithPrincipal(t.Context(), core.System())
	d := open(t)
	if err := migrations.Up(ctx, d); err != nil {
		t.Fatal(err)
	}
	name := store.NewID()
	first := teller(t, d, server.Queue(name), ring)
	teller(t, open(t), server.Queue(name), ring)
	for _, hook := range []string{"a", "b", "c"} {
		if _, _, err := first.Save(ctx, nil, hook, store.WebhookPut{Channel: store.ChannelHTTP, URL: &receiver.URL, Events: []string{"*"}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range events {
		if err := d.Write(ctx, func(tx *db.Tx) error {
			return event.Write(tx, event.Event{Type: event.JobDead, Subject: "job", Data: struct{}{}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range events * hooks {
		select {
		case <-box.told:
		case <-time.After(limit):
			t.Fatalf("%d messages came", n)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began, left := time.Now(), 1; left > 0; <-tick.C {
		if err := d.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM delivery WHERE state <> 'delivered') + (SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running'))`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > limit {
			t.Fatalf("%d are left", left)
		}
	}
	var made int
	if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM job WHERE kind = 'deliver'`).Scan(&made); err != nil || made != events*hooks {
		t.Errorf("%d jobs %v", made, err)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.got) != events*hooks {
		t.Errorf("%d messages", len(box.got))
	}
	for id, n := range box.got {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}
