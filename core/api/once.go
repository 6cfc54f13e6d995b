package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/web"
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
	rec := web.NewRecorder()
	finished := false
	defer func() {
		if !finished { // it failed or panicked: nothing was changed, and it may be tried again
			a.afterwards(r, "an Idempotency-Key could not be given free", func(ctx context.Context) error {
				return a.store.ForgetOnce(ctx, key)
			})
		}
	}()
	next.ServeHTTP(rec, r)
	if rec.Status() >= 200 && rec.Status() < 300 {
		finished = true
		// If this fails the change was made all the same, so the answer goes out; a repetition is then refused for some
		// minutes as still being worked on, which is the safe side.
		a.afterwards(r, "the answer to an Idempotency-Key could not be kept", func(ctx context.Context) error {
			return a.store.FinishOnce(ctx, key, answer(rec, secret))
		})
	}
	rec.Send(w)
	return nil
}

// afterwards does what has to be done after the handler, however long that took and whether or not anybody still waits.
func (a *API) afterwards(r *http.Request, failed string, f func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), onceDeadline)
	defer cancel()
	if err := f(ctx); err != nil && a.errors.Log != nil {
		a.errors.Log.Warn(failed, "error", err)
	}
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

// answer is what is kept: of one with a secret not even the rest, since nothing of it is given again.
func answer(rec *web.Recorder, secret bool) store.Answer {
	out := store.Answer{Status: rec.Status(), Header: map[string]string{}}
	if secret {
		return out
	}
	for _, name := range []string{"Content-Type", "ETag", "Location"} {
		if v := rec.Header().Get(name); v != "" {
			out.Header[name] = v
		}
	}
	out.Body = rec.Body()
	return out
}
