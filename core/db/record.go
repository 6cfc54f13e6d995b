package db

import "sync"

// Recorder takes down the statements that ran, so that a test can compare them with what it expects of a request: a
// pull that grows a query shows in the diff.
type Recorder struct {
	mu    sync.Mutex
	texts []string
}

// Record starts (or, with nil, ends) taking down statements.
func (d *DB) Record(r *Recorder) { d.recorder.Store(r) }

// Take returns what was recorded since the last Take.
func (r *Recorder) Take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.texts
	r.texts = nil
	return t
}

func (d *DB) record(text string) {
	if r := d.recorder.Load(); r != nil {
		r.mu.Lock()
		r.texts = append(r.texts, text)
		r.mu.Unlock()
	}
}
