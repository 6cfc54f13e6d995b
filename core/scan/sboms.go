package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// What an adapter of ours can beyond Harbor's API: it matches bills of materials with its data, many at a time, without an image.
const (
	capSBOMs      = "sboms"
	mediaSBOMs    = "application/vnd.hallmark.sboms+jsonl; version=1.0"
	mediaFindings = "application/vnd.hallmark.sboms.findings+jsonl; version=1.0"
)

// Bill is a CycloneDX document that is to be matched.
type Bill struct {
	ID       string // by which the answer names it
	Document []byte
}

// Matched is what a bill came to: findings, or the reason why there are none.
type Matched struct {
	Bill            int // index
	DatabaseAt      time.Time
	Findings        []core.Finding
	Vulnerabilities []core.Vulnerability
	Incomplete      string // why these cannot be all there are
	Problem         string // why there are none
}

// matched is a line of the answer.
type matched struct {
	ID         string            `json:"id"`
	DatabaseAt time.Time         `json:"database_at"`
	Findings   []reportedFinding `json:"findings"`
	Incomplete string            `json:"incomplete"`
	Error      string            `json:"error"`
}

// errRefused says that the adapter did not begin with what it was asked for.
var errRefused = errors.New("the request was refused")

// Match has bills matched, and gives take each answer as it comes, in any order. The answers of all together are bounded as a
// report is, so that it may end with an *Error when some have been taken.
func (c *Client) Match(ctx context.Context, bills []Bill, take func(*Matched)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Time, failed("the scanner %s was not done after %s", c.name, c.limits.Time))
	defer cancel()
	var body bytes.Buffer
	open := map[string]int{}
	for i := range bills {
		if err := bills[i].write(&body); err != nil {
			take(&Matched{Bill: i, Problem: "the stored bill of materials is no JSON"})
			continue
		}
		open[bills[i].ID] = i
	}
	answer, err := c.Do(ctx, http.MethodPost, "/api/v1/sboms", http.Header{"Content-Type": {mediaSBOMs}, "Accept": {mediaFindings}}, &body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, err := io.ReadAll(io.LimitReader(answer.Body, maxAccepted))
		if err != nil {
			return c.unreachable(ctx, err)
		}
		return errors.Join(errRefused, c.said(answer.StatusCode, said))
	}
	for d := json.NewDecoder(answer.Body); len(open) > 0; {
		var line matched
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF):
			return failed("the scanner %s did not answer for %d bills of materials", c.name, len(open))
		case err != nil && ctx.Err() != nil:
			return c.unreachable(ctx, err)
		case err != nil:
			return garbled(err)
		}
		i, asked := open[line.ID]
		if !asked {
			return lying("it is about %q, which was not asked for", clip(line.ID, maxID))
		}
		delete(open, line.ID)
		take(c.matched(i, &line))
	}
	return nil
}

// write writes a bill as a line, or nothing.
func (b *Bill) write(out *bytes.Buffer) error {
	line, err := json.Marshal(struct {
		ID   string          `json:"id"`
		SBOM json.RawMessage `json:"sbom"`
	}{b.ID, b.Document})
	if err == nil {
		out.Write(append(line, '\n'))
	}
	return err
}

// matched is an answer as far as it can be taken.
func (c *Client) matched(i int, line *matched) *Matched {
	m := &Matched{Bill: i, DatabaseAt: line.DatabaseAt.UTC(), Incomplete: clip(line.Incomplete, maxSentence), Problem: clip(line.Error, maxSentence)}
	if m.Problem != "" {
		return m
	}
	r := newReport("", c.limits.Findings)
	if len(line.Findings) > c.limits.Findings {
		m.Problem = lying("it has more than %d findings (limits.scan_findings)", c.limits.Findings).Reason
		return m
	}
	for j := range line.Findings {
		if err := r.add(&line.Findings[j]); err != nil {
			m.Problem = err.Error()
			return m
		}
	}
	m.Findings, m.Vulnerabilities = r.Scan.Findings, r.Vulnerabilities
	return m
}
