package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/hallmarkhub/hallmark/core/store"
)

// dingTalkMessage is what a robot of a DingTalk group takes: at most 20 KiB, 20 a minute.
type dingTalkMessage struct {
	Type string          `json:"msgtype"`
	Text contentOfRobots `json:"text"`
}

type contentOfRobots struct {
	Content string `json:"content"`
}

const maxDingTalk = 16 << 10

// sendDingTalk sends one message of events. The time is in milliseconds, the secret is the key of the signature and signed with the
// time as well, and both stand in the query.
func (s *Sender) sendDingTalk(ctx context.Context, w *store.Webhook, a store.WebhookAddress, events []*store.Event) result {
	address, err := url.Parse(a.URL)
	if err != nil {
		return result{problem: "its URL cannot be read: save the webhook again", final: true}
	}
	if a.Secret != "" {
		at := strconv.FormatInt(s.opt.Store.Now().UnixMilli(), 10)
		mac := hmac.New(sha256.New, []byte(a.Secret))
		mac.Write([]byte(at + "\n" + a.Secret))
		q := address.Query()
		q.Set("timestamp", at)
		q.Set("sign", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		address.RawQuery = q.Encode()
	}
	r := s.postJSON(ctx, address.String(), dingTalkMessage{"text", contentOfRobots{text(w, events, maxDingTalk, plain)}})
	return r.checked(errcode("DingTalk"))
}

// errcode reads the answers of DingTalk and WeCom.
func errcode(who string) func(answer []byte) (string, bool) {
	return func(answer []byte) (string, bool) {
		var v struct {
			Code    *int64 `json:"errcode"`
			Message string `json:"errmsg"`
		}
		if json.Unmarshal(answer, &v) != nil || v.Code == nil {
			return "", false
		}
		return codeProblem(who, *v.Code, v.Message), true
	}
}
