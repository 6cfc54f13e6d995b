package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// onceDeadline is how long keeping an answer may take, whether or not the client is still there.
const onceDeadline = 5 * time.Second

// once runs the handler, or answers again what it answered before to the same Idempotency-Key.
func (a *API) once(w http.ResponseWriter, r *http.Request, c *call, body []byte, next http.Handler) error {
	key := r.Header.Get("Idempotency-Key")
	if key == "" || !c.op.TakesHeader("Idempotency-Key") {
		next.ServeHTTP(w, r)
		return nil
	}
	sum := sha256.New()
	sum.Write([]byte(r.Method + " " + r.URL.EscapedPath() + "\n"))
	sum.Write(body)
	kept, err := a.store.BeginOnce(r.Context(), key, hex.EncodeToString(sum.Sum(nil)))
	if err != nil {
		return err
	}
	secret := a.rules[c.op.ID].secret
	if kept != nil {
		return replay(w, kept, secret)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), onceDeadline)
	defer cancel()
	rec := &buffered{header: http.Header{}}
	finished := false
	defer func() {
		if !finished { // it failed or panicked: nothing was changed, and it may be tried again
			if err := a.store.ForgetOnce(ctx, key); err != nil && a.errors.Log != nil {
				a.errors.Log.Warn("an Idempotency-Key could not be given free", "error", err)
			}
		}
	}()
	next.ServeHTTP(rec, r)
	if rec.status >= 200 && rec.status < 300 {
		finished = true
		// If this fails the change was made all the same, so the answer goes out; a repetition is then refused for some
		// minutes as still being worked on, which is the safe side.
		if err := a.store.FinishOnce(ctx, key, rec.answer(secret)); err != nil && a.errors.Log != nil {
			a.errors.Log.Warn("the answer to an Idempotency-Key could not be kept", "error", err)
		}
	}
	rec.send(w)
	return nil
}

func replay(w http.ResponseWriter, kept *store.Answer, secret bool) error {
	if secret {
		return core.Errorf(core.CodeConflict, "this was done by the first request with this Idempotency-Key; the secret was shown in its answer and is kept nowhere. If that answer got lost, delete what it made, or rotate the secret, with a new key")
	}
	for name, value := range kept.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(kept.Status)
	w.Write(kept.Body)
	return nil
}

// buffered holds an answer back until it has been kept. Answers of the API are small.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// answer is what is kept: of one with a secret not even the rest, since nothing of it is given again.
func (b *buffered) answer(secret bool) store.Answer {
	out := store.Answer{Status: b.status, Header: map[string]string{}}
	if secret {
		return out
	}
	for _, name := range []string{"Content-Type", "ETag", "Location"} {
		if v := b.header.Get(name); v != "" {
			out.Header[name] = v
		}
	}
	out.Body = b.body.Bytes()
	return out
}

func (b *buffered) send(w http.ResponseWriter) {
	for name, values := range b.header {
		w.Header()[name] = values
	}
	w.WriteHeader(b.status)
	w.Write(b.body.Bytes())
}
