package webhook

import (
	"context"
	"strings"

	"github.com/hallmarkhub/hallmark/core/store"
)

// slackMessage is what an incoming webhook of Slack takes, and of others that speak its language. Its key is in the URL. Nothing of
// it is markup, and nobody fetches what looks like a link to show what is there.
type slackMessage struct {
	Text        string `json:"text"`
	Markup      bool   `json:"mrkdwn"`
	UnfurlLinks bool   `json:"unfurl_links"`
	UnfurlMedia bool   `json:"unfurl_media"`
}

const maxSlack = 16 << 10

// sendSlack sends one message of events. Slack says by the status whether it worked.
func (s *Sender) sendSlack(ctx context.Context, w *store.Webhook, a store.WebhookAddress, events []*store.Event) result {
	return s.postJSON(ctx, a.URL, slackMessage{Text: text(w, events, maxSlack, escaped)})
}

// escaped is unmarked as Slack has it.
func escaped(s string) string {
	return strings.NewReplacer(append(marks(), "&", "&amp;", "<", "&lt;", ">", "&gt;")...).Replace(s)
}
