package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hallmarkhub/hallmark/core/store"
)

// feishuMessage is what a robot of a Feishu or Lark group takes: at most 20 KiB.
type feishuMessage struct {
	Timestamp string     `json:"timestamp,omitempty"`
	Sign      string     `json:"sign,omitempty"`
	Type      string     `json:"msg_type"`
	Content   feishuText `json:"content"`
}

type feishuText struct {
	Text string `json:"text"`
}

const maxFeishu = 16 << 10

// sendFeishu sends one message of events. The time is in seconds, the key of the signature is the time and the secret, and nothing
// is what is signed.
func (s *Sender) sendFeishu(ctx context.Context, w *store.Webhook, a store.WebhookAddress, events []*store.Event) result {
	m := feishuMessage{Type: "text", Content: feishuText{text(w, events, maxFeishu, plain)}}
	if a.Secret != "" {
		m.Timestamp = strconv.FormatInt(s.opt.Store.Now().Unix(), 10)
		m.Sign = base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(m.Timestamp+"\n"+a.Secret)).Sum(nil))
	}
	r := s.postJSON(ctx, a.URL, m)
	return r.checked(func(answer []byte) (string, bool) {
		var v struct {
			Code       *int64 `json:"code"`
			Message    string `json:"msg"`
			StatusCode *int64 `json:"StatusCode"` // of older ones
		}
		if json.Unmarshal(answer, &v) != nil || v.Code == nil && v.StatusCode == nil {
			return "", false
		}
		if v.Code == nil {
			v.Code = v.StatusCode
		}
		return codeProblem("Feishu", *v.Code, v.Message), true
	})
}

// checked looks into an answer that says in its body whether it worked, whatever its status. problem is "" if it did; known is
// false for an answer that is none of the receiver's.
func (r result) checked(look func(answer []byte) (problem string, known bool)) result {
	if r.problem != "" {
		return r
	}
	problem, known := look([]byte(r.answer))
	if r.problem = problem; !known {
		r.problem = "the answer is none of this kind of chat: look at the URL"
	}
	return r
}

func codeProblem(who string, code int64, message string) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf("%s answered %d: %s", who, code, message)
}
