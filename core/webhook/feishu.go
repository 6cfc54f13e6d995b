package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// feishuMessage is what a robot of a Feishu or Lark group takes: at most 20 KiB, 100 a minute.
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
	m := feishuMessage{Type: "text", Content: feishuText{text(w, events, maxFeishu, unmarked)}}
	if a.Secret != "" {
		m.Timestamp = strconv.FormatInt(s.opt.Store.Now().Unix(), 10)
		m.Sign = base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(m.Timestamp+"\n"+a.Secret)).Sum(nil))
	}
	robot := chat{"Feishu", feishuCode, map[int64]time.Duration{9499: time.Minute, 11232: time.Minute, 99991400: time.Minute}}
	return robot.checked(s.postJSON(ctx, a.URL, m))
}

// feishuCode reads the answers of Feishu; older robots have other names for the same.
func feishuCode(answer []byte) (code int64, message string, known bool) {
	var v struct {
		Code       *int64 `json:"code"`
		Message    string `json:"msg"`
		OldCode    *int64 `json:"StatusCode"`
		OldMessage string `json:"StatusMessage"`
	}
	switch {
	case json.Unmarshal(answer, &v) != nil:
		return 0, "", false
	case v.Code != nil:
		return *v.Code, v.Message, true
	case v.OldCode != nil:
		return *v.OldCode, v.OldMessage, true
	}
	return 0, "", false
}
