package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/report"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
	"github.com/hallmarkhub/hallmark/scanner-adapter/worker"
)

// SBOMLimits are those of a request that has SBOMs matched. Those of a scan hold for it besides, as if it were one.
type SBOMLimits struct {
	Documents  int
	Bytes      int64 // of one document
	Components int   // of one document
	Time       time.Duration
}

// How a request is kept in beyond that.
const (
	maxRestarts  = 3                // of the child, in one request
	linePatience = time.Minute      // for the next line, and for an answer to be taken
	maxID        = 1 << 10          // bytes of an id
	envelope     = maxID + (1 << 9) // what a line has besides the document
)

// sboms answers a stream of SBOMs with a stream of what is found in them, each as soon as it is there. A document that cannot
// be matched is answered with a reason, and the others go on.
func (s *Service) sboms(w http.ResponseWriter, r *http.Request) {
	if !spec.IsSBOMs(r.Header.Get("Content-Type")) {
		failure(w, http.StatusUnsupportedMediaType, "The Content-Type has to be "+spec.MediaSBOMs+".")
		return
	}
	select {
	case s.matching <- struct{}{}:
		defer func() { <-s.matching }()
	default:
		w.Header().Set("Retry-After", "30")
		failure(w, http.StatusTooManyRequests, "SBOMs of another request are matched. Try again later, or raise scans.")
		return
	}
	dir, release, err := s.opt.Store.Acquire(true)
	if err != nil {
		failure(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer release()
	age, err := database.AgeOf(dir)
	if err != nil {
		failure(w, http.StatusInternalServerError, "The age of the database cannot be read.")
		return
	}
	m := &matching{s: s, dir: dir, at: age.UpdatedAt.UTC(), began: s.now(), lines: bufio.NewReaderSize(r.Body, 64<<10), out: json.NewEncoder(w)}
	m.control = http.NewResponseController(w)
	_ = m.control.EnableFullDuplex() // HTTP/2 is that anyway
	w.Header().Set("Content-Type", spec.MediaFindings)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	err = m.run(r.Context())
	m.end()
	log := s.opt.Log.With("documents", m.documents, "failed", m.failed, "restarts", m.restarts, "took", s.now().Sub(m.began).Round(time.Millisecond))
	if err != nil {
		log.Warn("matching SBOMs ended before the end of the request", "error", err)
		panic(http.ErrAbortHandler) // what was asked for is not whole, and must not look so
	}
	log.Info("SBOMs are matched")
}

// matching is one request.
type matching struct {
	s       *Service
	dir     string
	at      time.Time // how new the data are
	began   time.Time
	lines   *bufio.Reader
	out     *json.Encoder
	control *http.ResponseController

	child                       *worker.Conversation
	documents, failed, restarts int
	over                        error // why no document is matched any more
}

// run reads documents and answers them. Its error says that the client is gone.
func (m *matching) run(ctx context.Context) error {
	for {
		_ = m.control.SetReadDeadline(time.Now().Add(linePatience))
		line, err := worker.ReadLine(m.lines, m.s.opt.SBOMs.Bytes+envelope)
		var answer spec.Matched
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, worker.ErrLong):
			if !bytes.HasSuffix(line, []byte("\n")) {
				if err := m.skip(); err != nil {
					return err
				}
			}
			answer = m.tooLong(head(line))
		case err != nil:
			return err
		default:
			answer = m.answer(ctx, line)
		}
		if m.documents++; answer.Error != "" {
			m.failed++
		}
		answer.GeneratedAt, answer.DatabaseAt = m.s.now().UTC(), &m.at
		if answer.Findings == nil {
			answer.Findings = []spec.Finding{}
		}
		_ = m.control.SetWriteDeadline(time.Now().Add(linePatience))
		if err := errors.Join(m.out.Encode(answer), m.control.Flush()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (m *matching) tooLong(id string) spec.Matched {
	return spec.Matched{ID: id, Error: fmt.Sprintf("The SBOM has more than %d bytes (limit). Raise limits.sbom if you trust it.", m.s.opt.SBOMs.Bytes)}
}

// skip reads the rest of a line that is too long, for as long as a document may take.
func (m *matching) skip() error {
	_ = m.control.SetReadDeadline(time.Now().Add(max(m.s.opt.SBOMs.Time, linePatience)))
	for {
		if _, err := m.lines.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// head is the id that a line begins with, "" if it does not.
func head(line []byte) string {
	d := json.NewDecoder(bytes.NewReader(line[:min(len(line), envelope)]))
	for _, want := range []any{json.Delim('{'), "id"} {
		if t, err := d.Token(); err != nil || t != want {
			return ""
		}
	}
	t, _ := d.Token()
	id, _ := t.(string)
	return id
}

// answer matches one document.
func (m *matching) answer(ctx context.Context, line []byte) spec.Matched {
	if why := measure(line, m.s.opt.SBOMs.Components); why != "" {
		return spec.Matched{ID: head(line), Error: why}
	}
	var d spec.Document
	if err := json.Unmarshal(line, &d); err != nil || d.ID == "" || len(d.ID) > maxID || len(d.SBOM) == 0 {
		return spec.Matched{ID: head(line), Error: `The line is not {"id": "..", "sbom": {..}} (hostile).`}
	}
	if int64(len(d.SBOM)) > m.s.opt.SBOMs.Bytes {
		return m.tooLong(d.ID)
	}
	if m.documents >= m.s.opt.SBOMs.Documents {
		return spec.Matched{ID: d.ID, Error: fmt.Sprintf("A request has at most %d SBOMs (limit). Send the rest in another one.", m.s.opt.SBOMs.Documents)}
	}
	found, incomplete, err := m.match(ctx, d.SBOM)
	if err != nil {
		code, why := reason(err)
		return spec.Matched{ID: d.ID, Error: why + " (" + code + ")"}
	}
	return spec.Matched{ID: d.ID, Findings: found, Incomplete: incomplete}
}

func (m *matching) match(ctx context.Context, sbom []byte) ([]spec.Finding, string, error) {
	if m.over != nil {
		return nil, "", m.over
	}
	if m.child == nil {
		m.child = m.s.opt.Worker.Converse(ctx, job.Job{Kind: job.Match, Database: m.dir, Components: m.s.opt.SBOMs.Components})
	}
	r, err := m.child.Ask(ctx, sbom, m.s.opt.SBOMs.Time)
	if err != nil {
		if !worker.OfDocument(err) {
			m.end()
			if m.restarts++; m.restarts > maxRestarts || m.s.now().Sub(m.began) > m.s.opt.Worker.Limits.Time {
				m.over = err
			}
		}
		return nil, "", err
	}
	found, err := report.Matched(r.Report, job.SBOM)
	return found, r.Incomplete, err
}

// end ends the child.
func (m *matching) end() {
	if m.child != nil {
		m.child.End()
		m.child = nil
	}
}

// How deep a document is, and how many objects and lists it has for each component that it may have: more of them only make
// whoever reads it slow.
const (
	maxDepth      = 100
	maxContainers = 20
)

// measure says what is wrong with the form of a document, before anything is made of it.
func measure(line []byte, components int) string {
	depth, containers, quoted := 0, 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			if containers++; depth > maxDepth {
				return fmt.Sprintf("The SBOM is more than %d levels deep (limit).", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if containers > maxContainers*components {
		return fmt.Sprintf("The SBOM has more parts than %d components have (limit). Raise limits.components if you trust it.", components)
	}
	return ""
}
