package webhook

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// weComMessage is what a robot of a WeCom group takes: at most 4,096 bytes of Markdown, 20 a minute. Its key is in the URL.
type weComMessage struct {
	Type     string          `json:"msgtype"`
	Markdown contentOfRobots `json:"markdown"`
}

const maxWeCom = 4096

// sendWeCom sends one message of events.
func (s *Sender) sendWeCom(ctx context.Context, w *store.Webhook, a store.WebhookAddress, events []*store.Event) result {
	robot := chat{"WeCom", errcode, map[int64]time.Duration{45009: time.Minute, 45033: time.Minute}}
	return robot.checked(s.postJSON(ctx, a.URL, weComMessage{"markdown", contentOfRobots{text(w, events, maxWeCom, unmarked)}}))
}
