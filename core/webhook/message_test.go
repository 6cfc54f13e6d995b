package webhook

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Each type that there is has a sentence in each language, of its own and with its subject, and there is none of a type that is not.
func TestSentences(t *testing.T) {
	all := append(event.Types(), event.Ping)
	if len(sentences()) != len(all) {
		t.Errorf("%d sentences for %d types", len(sentences()), len(all))
	}
	for _, kind := range all {
		for _, lang := range []string{"en", "zh"} {
			form := sentences()[kind][lang]
			if strings.Count(form, "%[1]s") != 1 || strings.Count(form, "%[2]s") != 1 {
				t.Errorf("%s in %s: %q", kind, lang, form)
			}
			if chinese := strings.ContainsFunc(form, func(c rune) bool { return unicode.Is(unicode.Han, c) }); chinese != (lang == "zh") {
				t.Errorf("%s is not in %s: %q", kind, lang, form)
			}
			got := line(&store.Event{Type: string(kind), Subject: "team/app@sha256:0123456789abcdef", Data: `{"tags":["v1"]}`}, lang)
			if !strings.Contains(got, "team/app@sha256:0123456789ab") || strings.Contains(got, "abcdef") || !strings.Contains(got, "(v1)") {
				t.Errorf("%s in %s: %q", kind, lang, got)
			}
		}
	}
}

// Data of any shape make a line: one, valid, bounded, and with nothing in it that cannot be seen.
func TestLine(t *testing.T) {
	for _, data := range []string{"", "null", "[]", `{"tags":"v1"}`, `{"new":{}}`, `{"error":"a\r\nBcc: x@y\u0000\u001b[31m\u2028b\u202e\u200b"}`,
		`{"problem":"` + strings.Repeat("漏", 400) + `"}`, `{"tags":["1","2","3","4","5","6","7"]}`} {
		got := line(&store.Event{Type: string(event.JobDead), Subject: "a\nb\xff", Data: data}, "zh")
		if len(got) > maxLine || !utf8.ValidString(got) || strings.ContainsFunc(got, func(c rune) bool { return !unicode.IsGraphic(c) }) || !strings.Contains(got, "a b") {
			t.Errorf("%s: %q", data, got)
		}
		if strings.Contains(data, "tags\":[") && !strings.Contains(got, "5, +2") {
			t.Errorf("%s: %q", data, got)
		}
	}
	found := `{"new":[` + strings.TrimSuffix(strings.Repeat(`{"id":"CVE-1","severity":"High","package":"zlib"},`, 7), ",") + `],"more":3}`
	if got := line(&store.Event{Type: string(event.ArtifactVulnerable), Subject: "team/app", Data: found}, "en"); strings.Count(got, "CVE-1 High zlib") != shownNew ||
		!strings.Contains(got, "+5)") {
		t.Error(got)
	}
}

// A text is whole at its limit, and with a byte less it is short: one event is cut, of several the rest is counted.
func TestTextLimits(t *testing.T) {
	w := &store.Webhook{Lang: "zh"}
	var events []*store.Event
	for i := range 3 {
		events = append(events, &store.Event{Type: string(event.TagCreated), Subject: fmt.Sprintf("team/应用:%d", i), Data: "{}"})
	}
	one := text(w, events[:1], 1<<20, unmarked)
	if got := text(w, events[:1], len(one), unmarked); got != one || !strings.Contains(one, "已创建 team/应用:0") {
		t.Errorf("%q", got)
	}
	for short := 1; short < len(one); short++ {
		if got := text(w, events[:1], len(one)-short, unmarked); len(got) > len(one)-short || !utf8.ValidString(got) || !strings.HasPrefix(one, got) {
			t.Errorf("%q", got)
		}
	}
	const forCount = 32
	all := text(w, events, 1<<20, unmarked)
	if got := text(w, events, len(all)+forCount, unmarked); got != all || strings.Count(all, "\n- ") != 3 {
		t.Errorf("%q", got)
	}
	got := text(w, events, len(all)+forCount-1, unmarked)
	if !strings.HasSuffix(got, "\n+1") || strings.Count(got, "\n- ") != 2 || len(got) > len(all)+forCount-1 {
		t.Errorf("%q", got)
	}
	if got := text(w, events, 60, unmarked); !strings.HasSuffix(got, "\n+3") {
		t.Errorf("%q", got)
	}
}

// The next message goes at once to nobody, and does not wait for hours for one that failed again and again, but as long as a chat asks.
func TestNextMessage(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, x := range []struct{ later, due, want time.Duration }{
		{0, -time.Hour, gather}, {0, gather - 1, gather}, {0, gather + 1, gather + 1}, {0, hold, hold}, {0, hold + 1, hold}, {0, 10 * time.Hour, hold},
		{1, 0, gather}, {time.Minute, 0, time.Minute}, {time.Hour, 2 * time.Hour, time.Hour}, {longest + 1, 0, longest},
	} {
		if got := (&result{later: x.later}).nextMessage(now, now.Add(x.due)).Sub(now); got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}
