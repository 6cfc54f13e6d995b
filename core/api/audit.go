package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// exportPage is how many entries a page of an export has at most (security.md, e).
const exportPage = 1000

func showAudit(e store.AuditEntry) AuditEntry {
	return AuditEntry{ID: e.ID, At: e.At, Actor: e.Actor, ActorName: e.ActorName, Credential: e.Credential, IP: e.IP,
		RequestID: e.RequestID, Action: e.Action, Project: optional(e.Project), Object: e.Object, Detail: e.Detail}
}

// auditFilter is what all four operations filter by.
type auditFilter struct {
	project, object, actor, action string
	since, until                   *time.Time
}

// query makes a query of a filter. projectID bounds it to one project.
func (f auditFilter) query(projectID string) store.AuditQuery {
	q := store.AuditQuery{ProjectID: projectID, Actor: f.actor, Action: f.action, Object: f.object}
	if f.since != nil {
		q.Since = *f.since
	}
	if f.until != nil {
		q.Until = *f.until
	}
	return q
}

// hubQuery is query for the whole hub, or the project that the filter names.
func (a *API) hubQuery(ctx context.Context, f auditFilter) (store.AuditQuery, error) {
	if f.project == "" {
		return f.query(""), nil
	}
	p, err := a.store.ProjectByName(ctx, f.project)
	if err != nil {
		return store.AuditQuery{}, err
	}
	return f.query(p.ID), nil
}

func (a *API) auditPage(ctx context.Context, q store.AuditQuery, limit *int64, cursor *string) ([]AuditEntry, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]store.AuditEntry, bool, error) {
		q.Before, q.N = after, n
		return a.store.AuditEntries(ctx, q)
	}, func(e store.AuditEntry) string { return e.ID }, showAudit)
}

// ListAudit lists the audit trail of the hub.
func (a *API) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	v := r.Params
	q, err := a.hubQuery(ctx, auditFilter{text(v.Project), text(v.Object), text(v.Actor), text(v.Action), v.Since, v.Until})
	if err != nil {
		return nil, err
	}
	items, link, err := a.auditPage(ctx, q, v.Limit, v.Cursor)
	if err != nil {
		return nil, err
	}
	return ListAudit200JSONResponse{Body: items, Headers: ListAudit200ResponseHeaders{Link: link}}, nil
}

// ListProjectAudit lists the audit trail of a project.
func (a *API) ListProjectAudit(ctx context.Context, r ListProjectAuditRequestObject) (ListProjectAuditResponseObject, error) {
	v := r.Params
	q := auditFilter{"", text(v.Object), text(v.Actor), text(v.Action), v.Since, v.Until}.query(callOf(ctx).project().ID)
	items, link, err := a.auditPage(ctx, q, v.Limit, v.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectAudit200JSONResponse{Body: items, Headers: ListProjectAudit200ResponseHeaders{Link: link}}, nil
}

// ExportAudit is ListAudit as a file.
func (a *API) ExportAudit(ctx context.Context, r ExportAuditRequestObject) (ExportAuditResponseObject, error) {
	v := r.Params
	q, err := a.hubQuery(ctx, auditFilter{text(v.Project), text(v.Object), text(v.Actor), text(v.Action), v.Since, v.Until})
	if err != nil {
		return nil, err
	}
	f, err := a.export(ctx, q, v.Limit, v.Cursor, text(v.Format))
	if err != nil {
		return nil, err
	}
	headers := ExportAudit200ResponseHeaders{Link: f.link, ContentDisposition: f.disposition}
	if f.csv {
		return ExportAudit200TextCsvResponse{Body: &f.body, Headers: headers, ContentLength: int64(f.body.Len())}, nil
	}
	return ExportAudit200ApplicationJsonlResponse{Body: &f.body, Headers: headers, ContentLength: int64(f.body.Len())}, nil
}

// ExportProjectAudit is ListProjectAudit as a file.
func (a *API) ExportProjectAudit(ctx context.Context, r ExportProjectAuditRequestObject) (ExportProjectAuditResponseObject, error) {
	v := r.Params
	q := auditFilter{"", text(v.Object), text(v.Actor), text(v.Action), v.Since, v.Until}.query(callOf(ctx).project().ID)
	f, err := a.export(ctx, q, v.Limit, v.Cursor, text(v.Format))
	if err != nil {
		return nil, err
	}
	headers := ExportProjectAudit200ResponseHeaders{Link: f.link, ContentDisposition: f.disposition}
	if f.csv {
		return ExportProjectAudit200TextCsvResponse{Body: &f.body, Headers: headers, ContentLength: int64(f.body.Len())}, nil
	}
	return ExportProjectAudit200ApplicationJsonlResponse{Body: &f.body, Headers: headers, ContentLength: int64(f.body.Len())}, nil
}

// auditFile is one page of the trail as a file.
type auditFile struct {
	csv         bool
	body        bytes.Buffer
	link        *string
	disposition string
}

func (a *API) export(ctx context.Context, q store.AuditQuery, limit *int64, cursor *string, format string) (*auditFile, error) {
	c := callOf(ctx)
	at, err := a.position(c, nil, cursor, 1)
	if err != nil {
		return nil, err
	}
	n := int64(exportPage)
	if limit != nil {
		n = min(*limit, exportPage)
	}
	f := &auditFile{csv: format == "csv", disposition: `attachment; filename="audit.` + map[bool]string{true: "csv", false: "jsonl"}[format == "csv"] + `"`}
	var entries []store.AuditEntry
	more := false
	if n > 0 {
		q.Before, q.N = at.after[0], int(n)
		if entries, more, err = a.store.AuditEntries(ctx, q); err != nil {
			return nil, err
		}
	}
	if len(entries) > 0 {
		f.link = a.next(c, more, entries[len(entries)-1].ID)
	}
	if f.csv {
		return f, writeCSV(&f.body, entries)
	}
	enc := json.NewEncoder(&f.body)
	for _, e := range entries {
		if err := enc.Encode(showAudit(e)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func writeCSV(out *bytes.Buffer, entries []store.AuditEntry) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"id", "at", "actor", "actor_name", "credential", "ip", "request_id", "action", "project", "object", "detail"}}
	for _, e := range entries {
		rows = append(rows, []string{e.ID, e.At.Format(time.RFC3339Nano), e.Actor, e.ActorName, e.Credential, e.IP, e.RequestID,
			e.Action, e.Project, e.Object, e.Detail})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = inertCell(row[i])
		}
	}
	return w.WriteAll(rows)
}

// inertCell keeps a spreadsheet from taking text that somebody chose for a formula.
func inertCell(s string) string {
	if s != "" && bytes.ContainsAny([]byte(s[:1]), "=+-@\t\r") {
		return "'" + s
	}
	return s
}
