package webhook

import (
	"context"
	"strings"

	"github.com/hallmarkhub/hallmark/core/store"
)

// slackMessage is what an incoming webhook of Slack takes, and of others that speak its language. Its key is in the URL.
type slackMessage struct {
	Text string `json:"text"`
}

const maxSlack = 16 << 10

// sendSlack sends one message of events. Slack says by the status whether it worked.
func (s *Sender) sendSlack(ctx context.Context, w *store.Webhook, a store.WebhookAddress, events []*store.Event) result {
	// As Slack has it: what is pushed is named by those who push, and mentions nobody.
	dress := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	return s.postJSON(ctx, a.URL, slackMessage{text(w, events, maxSlack, dress)})
}
