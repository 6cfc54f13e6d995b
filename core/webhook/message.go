package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
)

// about is what of an event's data texts and filters look at. What is not there is empty.
type about struct {
	Repository string           `json:"repository"`
	Tags       []string         `json:"tags"`
	Severity   string           `json:"severity"`
	New        []event.NewFound `json:"new"`
	More       int              `json:"more"`
	Key        string           `json:"key"`
	Identity   string           `json:"identity"`
	Change     string           `json:"change"`
	Kind       string           `json:"kind"`
	Error      string           `json:"error"`
	Problem    string           `json:"problem"`
}

func aboutOf(e *store.Event) about {
	var a about
	if json.Unmarshal([]byte(e.Data), &a) != nil {
		a = about{} // the data say nothing of this kind, or another thing by the same word
	}
	noun, _, _ := strings.Cut(e.Type, ".")
	if a.Repository == "" && (noun == "artifact" || noun == "tag") {
		repository, _, digest := strings.Cut(e.Subject, "@")
		if !digest {
			repository = repository[:max(strings.LastIndexByte(repository, ':'), 0)]
		}
		a.Repository = repository
	}
	return a
}

// sentences are what is said of each type, by language. %[1]s is the subject, %[2]s more of it.
func sentences() map[event.Type]map[string]string {
	return map[event.Type]map[string]string{
		event.ArtifactPushed:     {"en": "%[1]s was pushed%[2]s", "zh": "已推送 %[1]s%[2]s"},
		event.ArtifactDeleted:    {"en": "%[1]s was deleted%[2]s", "zh": "已删除 %[1]s%[2]s"},
		event.ArtifactSigned:     {"en": "%[1]s was signed%[2]s", "zh": "已签名 %[1]s%[2]s"},
		event.ArtifactScanned:    {"en": "%[1]s was scanned%[2]s", "zh": "已扫描 %[1]s%[2]s"},
		event.ArtifactVulnerable: {"en": "%[1]s has new vulnerabilities%[2]s", "zh": "%[1]s 发现新漏洞%[2]s"},
		event.TagCreated:         {"en": "%[1]s was created%[2]s", "zh": "已创建 %[1]s%[2]s"},
		event.TagMoved:           {"en": "%[1]s names another artifact now%[2]s", "zh": "%[1]s 现指向另一制品%[2]s"},
		event.TagDeleted:         {"en": "%[1]s was deleted%[2]s", "zh": "已删除标签 %[1]s%[2]s"},
		event.ProjectCreated:     {"en": "project %[1]s was created%[2]s", "zh": "已创建项目 %[1]s%[2]s"},
		event.ProjectDeleted:     {"en": "project %[1]s was deleted%[2]s", "zh": "已删除项目 %[1]s%[2]s"},
		event.PolicyChanged:      {"en": "what is trusted or demanded was changed: %[1]s%[2]s", "zh": "信任或策略已更改：%[1]s%[2]s"},
		event.KeyRevoked:         {"en": "%[1]s was revoked%[2]s", "zh": "已吊销 %[1]s%[2]s"},
		event.JobDead:            {"en": "job %[1]s is dead%[2]s", "zh": "任务 %[1]s 已失败%[2]s"},
		event.Ping:               {"en": "webhook %[1]s works%[2]s", "zh": "通知 %[1]s 可用%[2]s"},
	}
}

// line says what happened, on one line.
func line(e *store.Event, lang string) string {
	form := sentences()[event.Type(e.Type)][lang]
	if form == "" {
		form = e.Type + ": %[1]s%[2]s"
	}
	subject := e.Subject
	if name, digest, found := strings.Cut(subject, "@sha256:"); found && len(digest) > 12 {
		subject = name + "@sha256:" + digest[:12]
	}
	about := aboutOf(e)
	more := about.more()
	if more != "" {
		more = " (" + more + ")"
	}
	return cut(oneLine(fmt.Sprintf(form, subject, more)), maxLine)
}

// maxLine is how many bytes a line has at most.
const maxLine = 700

// oneLine makes text of somebody else valid and one line of what can be seen: no control characters, and none that turn the
// direction of what stands around them.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}, text))
}

// shownNew is how many vulnerabilities a line names.
const shownNew = 5

// more is what there is to say beside the subject, in words that no language has others for.
func (a *about) more() string {
	var parts []string
	for i, v := range a.New {
		if i == shownNew {
			parts = append(parts, fmt.Sprintf("+%d", len(a.New)-shownNew+a.More))
			break
		}
		parts = append(parts, strings.TrimSpace(v.ID+" "+v.Severity+" "+v.Package))
	}
	for i, tag := range a.Tags {
		if i == shownNew {
			parts = append(parts, fmt.Sprintf("+%d", len(a.Tags)-shownNew))
			break
		}
		parts = append(parts, tag)
	}
	for _, word := range []string{a.Kind, a.Change, a.Identity, a.Error, a.Problem} {
		if word != "" {
			parts = append(parts, word)
		}
	}
	return strings.Join(parts, ", ")
}

// title is the first line of a message of several events.
func title(w *store.Webhook, events []*store.Event) string {
	if len(events) == 1 {
		return "Hallmark: " + line(events[0], w.Lang)
	}
	if w.Lang == "zh" {
		return fmt.Sprintf("Hallmark：%d 个事件", len(events))
	}
	return fmt.Sprintf("Hallmark: %d events", len(events))
}

// text is a message of events in at most so many bytes. Lines that do not fit are counted.
func text(w *store.Webhook, events []*store.Event, most int, dress func(string) string) string {
	if len(events) == 1 {
		return cut(dress(title(w, events)), most)
	}
	const forCount = 32
	out := dress(title(w, events))
	for i, e := range events {
		next := "\n- " + dress(line(e, w.Lang))
		if len(out)+len(next) > most-forCount {
			return out + fmt.Sprintf("\n+%d", len(events)-i)
		}
		out += next
	}
	return out
}
