//go:build crash && linux

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// history is what clients asked for and what they were told, in one order. What the hub has is a set of registers: a tag
// holds a digest or nothing, a manifest or blob of a repository is here or not. Each request is a write to one or more
// of them that took effect at some moment between its beginning and its end. What a register may hold at a given time
// follows from that alone; what a reader sees, and what is left in the end, has to be one of these values.
//
// Every line is synced to a file before the request is sent, so that the log is complete whatever happens to the tests.
type history struct {
	mu    sync.Mutex
	file  *os.File
	begun time.Time
	clock int64
	regs  map[string][]*write
}

// here is the value of a manifest or blob that a repository has; absent is that of any register before the first write.
const (
	here   = "here"
	absent = ""
)

// write is one write to one register.
type write struct {
	begin, end int64 // ticks; end is MaxInt64 while it may still take effect
	value      string
	onlyIf     string // it changes the register only if that holds this value; "" always
	verdict    verdict
	op         *operation
}

// effect is what a request does to a register if it succeeds.
type effect struct{ register, value, onlyIf string }

// operation is a request, or several that together want one thing.
type operation struct {
	h      *history
	id     int64
	what   string
	writes []*write
}

func newHistory(t testing.TB, path string) *history {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &history{file: f, begun: time.Now(), regs: map[string][]*write{}}
}

func tagOf(repo, tag string) string    { return "tag " + repo + ":" + tag }
func manifestOf(repo, d string) string { return "manifest " + repo + "@" + d }
func blobOf(repo, d string) string     { return "blob " + repo + "@" + d }
func split(register string) (kind, repo, ref string) {
	kind, rest, _ := strings.Cut(register, " ")
	i := strings.IndexAny(rest, ":@")
	return kind, rest[:i], rest[i+1:]
}

// line writes one line of the log. The caller holds mu.
func (h *history) line(v map[string]any) {
	v["tick"], v["ms"] = h.clock, time.Since(h.begun).Milliseconds()
	b, err := json.Marshal(v)
	if err == nil {
		_, err = h.file.Write(append(b, '\n'))
	}
	if err == nil {
		err = h.file.Sync()
	}
	if err != nil {
		panic("the history cannot be written: " + err.Error()) // without it no verdict is worth anything
	}
}

// now is a moment: later than all that has ended, earlier than all that will begin.
func (h *history) now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// begin notes that a client is about to ask for something.
func (h *history) begin(client int, what string, effects ...effect) *operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o := &operation{h: h, id: h.clock, what: what}
	for _, e := range effects {
		w := &write{begin: h.clock, end: math.MaxInt64, value: e.value, onlyIf: e.onlyIf, verdict: unclear, op: o}
		o.writes = append(o.writes, w)
		h.regs[e.register] = append(h.regs[e.register], w)
	}
	h.line(map[string]any{"client": client, "op": o.id, "type": "invoke", "what": what})
	return o
}

// end notes what the client was told. Nothing of a request whose connection broke can happen any more; of one that the
// client gave up on, it can.
func (o *operation) end(a answer) { o.endAs(a.verdict(), a) }

func (o *operation) endAs(v verdict, a answer) {
	o.h.mu.Lock()
	defer o.h.mu.Unlock()
	o.h.clock++
	for _, w := range o.writes {
		w.verdict = v
		if !errors.Is(a.err, context.DeadlineExceeded) {
			w.end = o.h.clock
		}
	}
	o.h.line(map[string]any{"op": o.id, "type": v, "answer": a.String()})
}

// possible reports whether a register may have held a value at some moment between from and to.
func (h *history) possible(register, value string, from, to int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return possible(h.regs[register], value, from, to)
}

func possible(all []*write, value string, from, to int64) bool {
	if value == absent && !overwritten(all, &write{}, from) {
		return true // as it was in the beginning
	}
	for _, w := range all {
		if w.value == value && w.verdict != refused && w.begin < to && !overwritten(all, w, from) &&
			(w.onlyIf == "" || possible(all, w.onlyIf, w.begin, w.end)) {
			return true
		}
	}
	return false
}

// overwritten reports whether a write that certainly happened, after w and before from, left another value.
func overwritten(all []*write, w *write, from int64) bool {
	for _, o := range all {
		if o.verdict == acked && o.begin > w.end && o.end < from && o.value != w.value && (o.onlyIf == "" || o.onlyIf == w.value) {
			return true
		}
	}
	return false
}

// registers lists all registers of a kind that were ever written to.
func (h *history) registers(kind string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for r := range h.regs {
		if strings.HasPrefix(r, kind+" ") {
			out = append(out, r)
		}
	}
	return out
}

// happened is how many writes of a value to registers of a kind certainly happened, and how many may have.
func (h *history) happened(kind, value string) (least, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r, ws := range h.regs {
		for _, w := range ws {
			if strings.HasPrefix(r, kind+" ") && w.value == value && w.verdict != refused {
				if most++; w.verdict == acked {
					least++
				}
			}
		}
	}
	return least, most
}

// tell is the story of a register, for messages.
func (h *history) tell(register string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "writes to %s:", register)
	all := h.regs[register]
	if len(all) > 20 {
		fmt.Fprintf(&b, "\n  (%d more)", len(all)-20)
		all = all[len(all)-20:]
	}
	for _, w := range all {
		end := fmt.Sprint(w.end)
		if w.end == math.MaxInt64 {
			end = ".."
		}
		fmt.Fprintf(&b, "\n  op %d, ticks %d to %s, %s: %s", w.op.id, w.begin, end, w.verdict, w.op.what)
	}
	return b.String()
}

// counts is how many operations ended how.
func (h *history) counts() map[verdict]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[*operation]bool{}
	out := map[verdict]int{}
	for _, ws := range h.regs {
		for _, w := range ws {
			if !seen[w.op] {
				seen[w.op] = true
				out[w.verdict]++
			}
		}
	}
	return out
}
