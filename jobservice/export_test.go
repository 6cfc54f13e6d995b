package jobservice

// BeforeBeat calls f before every heartbeat: a test that blocks in it stops the worker's heart.
func (r *Runner) BeforeBeat(f func()) { r.beforeBeat = f }

// Clip is clip.
func Clip(s string) string { return clip(s) }

// Backoff is the back-off that Options leave out.
func Backoff(attempt int) string { return backoff(attempt).String() }
