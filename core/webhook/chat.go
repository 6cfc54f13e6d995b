package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Robots of chats answer 200 also when they refuse, with a code in the body that says so.

type contentOfRobots struct {
	Content string `json:"content"`
}

// chat is what is known of how a kind of chat answers.
type chat struct {
	name string
	// code is the code in an answer and what it says of it; known is false for an answer that is none of this kind of chat.
	code func(answer []byte) (code int64, message string, known bool)
	// busy are the codes of too many messages, and how long such a chat wants to be left alone.
	busy map[int64]time.Duration
}

// checked looks into the answer, whatever its status: the code says more of a refusal than the status does.
func (c *chat) checked(r result) result {
	code, message, known := c.code([]byte(r.answer))
	switch {
	case known && code != 0:
		r.problem = fmt.Sprintf("%s answered %d: %s", c.name, code, message)
		r.later = max(r.later, c.busy[code])
	case !known && r.problem == "":
		r.problem = "the answer is none of " + c.name + ": look at the URL"
	}
	return r
}

// errcode reads the answers of DingTalk and WeCom.
func errcode(answer []byte) (code int64, message string, known bool) {
	var v struct {
		Code    *int64 `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if json.Unmarshal(answer, &v) != nil || v.Code == nil {
		return 0, "", false
	}
	return *v.Code, v.Message, true
}

// unmarked makes text of somebody else mere text for a chat: what is pushed, signed and found is named by others, and mentions
// nobody, makes no links and looks like nothing that the hub says itself. The quotation mark and the backslash go as well, so that
// text is as long in JSON as it is here.
func unmarked(s string) string {
	return strings.NewReplacer(append(marks(), "<", "‹", ">", "›", `"`, "＂", `\`, "＼")...).Replace(s)
}

// marks are what chats make mentions, links and styles of, each with what stands for it. A digest keeps what it is known by.
func marks() []string {
	return []string{"@sha256:", "@sha256:", "@", "＠", "://", "：//", "[", "(", "]", ")", "`", "'", "*", "＊", "~", "～"}
}
