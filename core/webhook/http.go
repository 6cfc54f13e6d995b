package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// cloudEvent is an event as others read it: CloudEvents 1.0 in JSON, structured.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Project     string          `json:"project,omitempty"`
	Actor       string          `json:"actor,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// typePrefix is what the types of events begin with where others read them.
const typePrefix = "io.hallmark."

// maxBody is how many bytes are sent at most. The data of an event are bounded far below it (store.SaveEvent).
const maxBody = 256 << 10

func (s *Sender) cloudEvent(e *store.Event) ([]byte, error) {
	body, err := json.Marshal(cloudEvent{SpecVersion: "1.0", ID: e.ID, Source: s.opt.Source, Type: typePrefix + e.Type, Subject: e.Subject,
		Time: e.CreatedAt.UTC(), ContentType: "application/json", Project: e.Project, Actor: e.Actor, Data: json.RawMessage(e.Data)})
	if err == nil && len(body) > maxBody {
		err = errors.New("the event is too large to be sent")
	}
	return body, err
}

// sendHTTP sends an event, signed as Standard Webhooks say. The id is the same however often it is sent.
func (s *Sender) sendHTTP(ctx context.Context, w *store.Webhook, a store.WebhookAddress, e *store.Event) result {
	body, err := s.cloudEvent(e)
	if err != nil {
		return result{problem: err.Error(), final: true}
	}
	now := s.opt.Store.Now()
	id, at := "msg_"+e.ID+"_"+w.ID, strconv.FormatInt(now.Unix(), 10)
	header := http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}, "Webhook-Id": {id}, "Webhook-Timestamp": {at}}
	var signatures []string
	for _, secret := range secretsOf(a, now) {
		key, err := secretKey(secret)
		if err != nil {
			return result{problem: "the secret cannot be read: give the webhook a new one", final: true}
		}
		signatures = append(signatures, sign(key, id, at, body))
	}
	if len(signatures) > 0 {
		header.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	r := s.post(ctx, a.URL, header, body)
	if r.status == http.StatusGone {
		r.gone, r.final, r.problem = true, true, "the receiver answered 410: it wants to be told nothing any more"
	}
	return r
}

// secretsOf are what signs at a time.
func secretsOf(a store.WebhookAddress, now time.Time) []string {
	var out []string
	if a.Secret != "" {
		out = append(out, a.Secret)
	}
	if a.Previous != "" && now.Before(a.Until) {
		out = append(out, a.Previous)
	}
	return out
}

// secretPrefix is what a secret of Standard Webhooks begins with.
const secretPrefix = "whsec_"

var errSecret = errors.New("not a secret to sign with")

// secretKey is the key in a secret.
func secretKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errSecret
	}
	return key, nil
}

func sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post sends a body and reads the beginning of the answer. Anything but 2xx is a failure.
func (s *Sender) post(ctx context.Context, address string, header http.Header, body []byte) result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return result{problem: "its URL cannot be read: save the webhook again", final: true}
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("User-Agent", "Hallmark")
	client := s.client
	if req.URL.Scheme != "https" {
		client = s.plain
	}
	res, err := client.Do(req)
	if err != nil {
		return result{problem: unanswered(err), final: errors.Is(err, errRefused) || errors.Is(err, errPlain)}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	r := result{status: int64(res.StatusCode), answer: string(answer), later: retryAfter(res.Header.Get("Retry-After"), s.opt.Store.Now())}
	switch {
	case res.StatusCode < 200 || res.StatusCode > 299:
		r.problem = "the receiver answered " + res.Status
	case err != nil && len(answer) == 0:
		r.problem = "the answer broke off: " + err.Error()
	}
	return r
}

// unanswered says why there was no answer, without the URL, in which there may be a key, and without addresses of the network
// that the hub is in.
func unanswered(err error) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if name := (*net.DNSError)(nil); errors.As(err, &name) {
		if name.IsNotFound {
			return "its host has no address: look at the URL"
		}
		return "the address of its host could not be looked up"
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// postJSON is post of a message.
func (s *Sender) postJSON(ctx context.Context, address string, message any) result {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false) // it would make six bytes of one, beyond what a chat takes
	if err := e.Encode(message); err != nil {
		return result{problem: err.Error(), final: true}
	}
	return s.post(ctx, address, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body.Bytes())
}

// retryAfter is how long a receiver asks to be left alone: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(time.Duration(n)*time.Second, 0)
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
