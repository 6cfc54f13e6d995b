package gatekeeper_test

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// bounded checks that what the gate reads is found by indexes, and how many rows that are: far fewer than were pushed.
func (h *hub) bounded(i image, s *signertest.Signer) {
	h.Helper()
	var r db.Recorder
	if h.db.Engine() == db.SQLite { // to explain it with its rows, Postgres would run it again
		h.db.Record(&r)
		h.sign(repo, i.digest, s)
		h.db.Record(nil)
		vouching := only(r.Take(), "UPDATE repository_reference")
		if len(vouching) != 1 {
			h.Fatalf("a signature vouches with %q", vouching)
		}
		h.noScan(vouching[0], []any{"id", string(i.digest), 1})
	}
	h.db.Record(&r)
	_, err := h.store.Evidence(h.Context(), repo, string(i.digest))
	h.must(err)
	_, _, err = h.store.TrustMaterialAndEvidence(h.Context(), h.team, repo, string(i.digest))
	h.must(err)
	_, err = h.store.UsersAfter(h.Context(), repo, string(i.layer), nil, 32)
	h.must(err)
	h.db.Record(nil)
	asked := r.Take()
	if h.db.Engine() == db.Postgres { // the feed asks too
		asked = only(asked, "repository_reference")
	}
	if len(asked) != 3 {
		h.Fatalf("%d statements: %q", len(asked), asked)
	}
	for n, args := range [][]any{{repo, string(i.digest)}, {repo, string(i.digest), h.team.ID}, {repo, string(i.layer), int64(math.MaxInt64), ""}} {
		if h.db.Engine() == db.SQLite {
			h.noScan(asked[n], args)
		} else {
			h.fewRows(asked[n], args)
		}
	}
}

func only(all []string, piece string) (out []string) {
	for _, s := range all {
		if strings.Contains(s, piece) {
			out = append(out, s)
		}
	}
	return out
}

// noScan fails where SQLite would read a table, or an index, from one end to the other. What it says of the parts of the
// statement itself (about, near, filed, sorts, said, oldest) is not about rows of a table.
func (h *hub) noScan(query string, args []any) {
	h.Helper()
	var plan []string
	h.must(h.db.Query(h.Context(), `EXPLAIN QUERY PLAN `+query, args, func(scan func(...any) error) error {
		var id, parent, unused int
		var detail string
		err := scan(&id, &parent, &unused, &detail)
		plan = append(plan, detail)
		return err
	}))
	searched := 0
	for _, step := range plan {
		switch {
		case strings.HasSuffix(step, "(repository_id=?)"):
			h.Errorf("it reads all of a repository: %s\n%s", step, strings.Join(plan, "\n"))
		case strings.HasPrefix(step, "SEARCH"):
			searched++
		case regexp.MustCompile(`^SCAN (a|n|f|near|about|filed|sorts|said|oldest|below|b|CONSTANT ROW|\d)\b`).MatchString(step) && !strings.Contains(step, "USING"):
		case strings.HasPrefix(step, "SCAN"):
			h.Errorf("it reads all of a table: %s\n%s", step, strings.Join(plan, "\n"))
		}
	}
	if searched == 0 {
		h.Errorf("it searches nothing:\n%s", strings.Join(plan, "\n"))
	}
}

// fewRows runs a statement on Postgres and adds up the rows that its parts came across.
func (h *hub) fewRows(query string, args []any) {
	h.Helper()
	var text string
	h.must(h.db.Query(h.Context(), `EXPLAIN (ANALYZE, TIMING FALSE, FORMAT JSON) `+query, args, func(scan func(...any) error) error { return scan(&text) }))
	var plans []struct{ Plan planNode }
	h.must(json.Unmarshal([]byte(text), &plans))
	if n := plans[0].Plan.rows(); n > 3000 {
		h.Errorf("%.0f rows are come across by %s\n%s", n, query, plans[0].Plan.tree("\n"))
	}
}

// planNode is a part of a plan that was run.
type planNode struct {
	Type       string     `json:"Node Type"`
	Relation   string     `json:"Relation Name"`
	Index      string     `json:"Index Name"`
	Condition  string     `json:"Index Cond"`
	Rows       float64    `json:"Actual Rows"`
	Loops      float64    `json:"Actual Loops"`
	Filtered   float64    `json:"Rows Removed by Filter"`
	JoinFilter float64    `json:"Rows Removed by Join Filter"`
	Plans      []planNode `json:"Plans"`
}

func (p *planNode) rows() float64 {
	n := (p.Rows + p.Filtered + p.JoinFilter) * p.Loops
	for i := range p.Plans {
		n += p.Plans[i].rows()
	}
	return n
}

// tree shows where they were.
func (p *planNode) tree(indent string) string {
	text := fmt.Sprintf("%s%s %s %s %s: %.0f rows, %.0f left out, %.0f times", indent, p.Type, p.Relation, p.Index, p.Condition, p.Rows, p.Filtered+p.JoinFilter, p.Loops)
	for i := range p.Plans {
		text += p.Plans[i].tree(indent + "  ")
	}
	return text
}
