package memory

import (
	"context"
	"sync"
)

// Op names what a fault befalls.
type Op int

// The operations that can fail. Write is counted per call, over all Writers.
const (
	Create Op = iota
	Resume
	Write
	Commit
	Open
	Delete
)

// Faults is the list of things that will go wrong in one place. Each fault befalls the nth call of an operation from
// the moment it is added, counted from 1, and then never again; n = 0 means every call from now on. Safe for
// concurrent use.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
}

type rule struct {
	op   Op
	nth  int // 0: every call
	seen int

	before, after error
	short         int           // bytes a Write still takes; -1: all of them
	reached       chan struct{} // closed when a call stands at the gate
	gate          chan struct{} // closed to let it pass; nil: no gate
	once          sync.Once
}

// FailBefore lets the nth op return err without doing anything.
func (f *Faults) FailBefore(op Op, nth int, err error) {
	f.add(&rule{op: op, nth: nth, before: err, short: -1})
}

// FailAfter lets the nth op do its work and return err all the same, as a connection does that breaks before the
// answer. A Commit has then stored the content, although the caller does not learn the key.
func (f *Faults) FailAfter(op Op, nth int, err error) {
	f.add(&rule{op: op, nth: nth, after: err, short: -1})
}

// ShortWrite lets the nth Write take only the first bytes of its argument and return err.
func (f *Faults) ShortWrite(nth, bytes int, err error) {
	f.add(&rule{op: Write, nth: nth, short: bytes, after: err})
}

// Block holds the nth op before it does anything, until release is called or the operation's context ends. reached is
// closed when the first call stands there. A rule that both blocks and fails is two rules.
func (f *Faults) Block(op Op, nth int) (reached <-chan struct{}, release func()) {
	r := &rule{op: op, nth: nth, reached: make(chan struct{}), gate: make(chan struct{})}
	f.add(r)
	var once sync.Once
	return r.reached, func() { once.Do(func() { close(r.gate) }) }
}

// Clear removes every fault; calls that are blocked stay blocked until released.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

func (f *Faults) add(r *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, r)
}

// fate is what befalls one call.
type fate struct {
	after error
	short int // bytes to take, -1: all
}

// strike counts one call of op, waits at the gates that apply to it and says what to do: an error means not to do it.
func (f *Faults) strike(ctx context.Context, op Op) (fate, error) {
	out := fate{short: -1}
	var before error
	for _, r := range f.match(op) {
		if r.gate != nil {
			r.once.Do(func() { close(r.reached) })
			select {
			case <-r.gate:
			case <-ctx.Done():
				return out, ctx.Err()
			}
			continue
		}
		if r.before != nil && before == nil {
			before = r.before
		}
		if r.after != nil && out.after == nil {
			out.after, out.short = r.after, r.short
		}
	}
	return out, before
}

func (f *Faults) match(op Op) []*rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit []*rule
	for _, r := range f.rules {
		if r.op != op {
			continue
		}
		r.seen++
		if r.nth == 0 || r.seen == r.nth {
			hit = append(hit, r)
		}
	}
	return hit
}
