package webhook

import (
	"context"
	"strings"

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
	// What is pushed is named by those who push: it makes no links and mentions nobody.
	dress := strings.NewReplacer("<", "‹", ">", "›", "[", "(", "]", ")", "`", "'", "*", "＊").Replace
	r := s.postJSON(ctx, a.URL, weComMessage{"markdown", contentOfRobots{text(w, events, maxWeCom, dress)}})
	return r.checked(errcode("WeCom"))
}
