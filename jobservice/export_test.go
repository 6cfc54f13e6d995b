package jobservice

import "fmt"

// BeforeBeat calls f before every heartbeat: a test that blocks in it stops the worker's heart.
func (r *Runner) BeforeBeat(f func()) { r.beforeBeat = f }

// Clip is clip.
func Clip(s string) string { return clip(s) }

// Backoff is the back-off that Options leave out.
func Backoff(attempt int) string { return backoff(attempt).String() }

// ClaimSQL are the statements of a claim: of kinds without a cap and of those with one.
func (r *Runner) ClaimSQL() (free, capped string) {
	c := r.claimSQL()
	return c.free, c.capped
}

// DueSQL are the statements that read what is due of a kind: without and with a cap for each target.
func DueSQL() (all, byTarget string) {
	return fmt.Sprintf(dueSQL, ""), fmt.Sprintf(dueSQL, targetSQL)
}

// NextSQL, GoneSQL and LookSQL are the others that a process runs again and again.
const (
	NextSQL = nextSQL
	GoneSQL = goneSQL
	LookSQL = lookSQL
)
