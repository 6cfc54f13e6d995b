package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// dingTalkMessage is what a robot of a DingTalk group takes: at most 20 KiB, 20 a minute.
type dingTalkMessage struct {
	Type string          `json:"msgtype"`
	Text contentOfRobots `json:"text"`
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
	// Whoever sends more than it takes is not heard for ten minutes.
	const pause = 10 * time.Minute
	robot := chat{"DingTalk", errcode, map[int64]time.Duration{90030: pause, 130101: pause, 410100: pause}}
	return robot.checked(s.postJSON(ctx, address.String(), dingTalkMessage{"text", contentOfRobots{text(w, events, maxDingTalk, unmarked)}}))
}
