package jobservice

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// What is kept of the log of one job, in all its tries. A line has at most messageLimit bytes.
const (
	LogLines = 1000
	LogBytes = 256 << 10
)

// logFull is the last line of a log that has as many as it may.
const logFull = "the log of this job is full; what follows is left out"

// logBatch is how many lines one statement writes.
const logBatch = 100

// Line is one of a job's log.
type Line struct {
	Seq     int64 // the first is 1
	At      time.Time
	Attempt int
	Text    string
}

// Log adds a line to the job's log, which administrators read. It is written with the next progress, at most once a
// second, and what a try says that has lost its job is not. Never a secret.
func (t *Task) Log(format string, args ...any) {
	line := Line{At: t.r.db.Now(), Attempt: t.attempt, Text: clip(fmt.Sprintf(format, args...))}
	if t.lines.add(line) {
		t.wake()
	}
}

// lines are those of one try that are not written yet. They are counted from those of the tries before.
type lines struct {
	mu           sync.Mutex
	count, bytes int64
	waiting      []Line
}

// add keeps a line, or the word that there is no more room; false says that it kept nothing.
func (l *lines) add(line Line) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= LogLines || l.bytes >= LogBytes {
		return false
	}
	if l.count == LogLines-1 || l.bytes+int64(len(line.Text))+int64(len(logFull)) > LogBytes {
		line.Text = logFull
		l.bytes = LogBytes - int64(len(logFull)) // whatever comes, it is too much
	}
	l.count++
	l.bytes += int64(len(line.Text))
	line.Seq = l.count
	l.waiting = append(l.waiting, line)
	return true
}

// batch is what is to be written, and how many bytes the log has with it.
type batch struct {
	lines []Line
	bytes int64
}

func (l *lines) pending() batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return batch{lines: l.waiting[:len(l.waiting):len(l.waiting)], bytes: l.bytes}
}

// written forgets lines that pending returned.
func (l *lines) written(done batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = l.waiting[len(done.lines):]
}

// writeLines writes lines in a transaction of the job. Lines that a commit of unknown outcome wrote are there already.
func writeLines(tx *db.Tx, id string, all batch) error {
	if len(all.lines) == 0 {
		return nil
	}
	for rest := all.lines; len(rest) > 0; {
		n := min(len(rest), logBatch)
		var text strings.Builder
		text.WriteString(`INSERT INTO job_log (job_id, seq, at, attempt, line) VALUES `)
		args := []any{id}
		for i, l := range rest[:n] {
			if i > 0 {
				text.WriteString(", ")
			}
			k := len(args)
			fmt.Fprintf(&text, "($1, $%d, $%d, $%d, $%d)", k+1, k+2, k+3, k+4)
			args = append(args, l.Seq, l.At.UnixMicro(), l.Attempt, l.Text)
		}
		text.WriteString(` ON CONFLICT (job_id, seq) DO NOTHING`)
		if _, err := tx.Exec(text.String(), args...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	_, err := tx.Exec(`UPDATE job SET log_lines = $2, log_bytes = $3 WHERE id = $1`, id, all.lines[len(all.lines)-1].Seq, all.bytes)
	return err
}

// Log returns up to n lines of a job's log behind the one numbered after, and whether there are more.
func Log(ctx context.Context, d *db.DB, id string, after int64, n int) (page []Line, more bool, err error) {
	if n <= 0 || n > LogLines {
		n = LogLines
	}
	err = d.Query(ctx, `SELECT seq, at, attempt, line FROM job_log WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
		[]any{id, after, n + 1}, func(scan func(...any) error) error {
			var l Line
			var at int64
			err := scan(&l.Seq, &at, &l.Attempt, &l.Text)
			l.At = db.Time(at)
			page = append(page, l)
			return err
		})
	if len(page) > n {
		page, more = page[:n], true
	}
	return page, more, err
}
