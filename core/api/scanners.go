package api

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/hallmarkhub/hallmark/core/store"
)

func showScanner(v *store.Scanner) Scanner {
	s := Scanner{Name: v.Name, URL: v.URL, CaPem: v.CAPEM, Username: v.Username, HasSecret: v.HasSecret, RegistryURL: v.RegistryURL, Default: v.Default,
		Paused: v.Paused, Ready: v.Ready(), Problem: v.Health.Problem, CheckedAt: optional(v.CheckedAt), DatabaseAt: optional(v.Health.DatabaseAt),
		CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt}
	var m struct {
		Scanner      struct{ Name, Version string }
		Capabilities []string
		Properties   map[string]string
	}
	if json.Unmarshal(v.Health.Metadata, &m) == nil { // else it has said nothing yet
		s.Software, s.Capabilities, s.Properties = optional(strings.TrimSpace(m.Scanner.Name+" "+m.Scanner.Version)), &m.Capabilities, &m.Properties
	}
	return s
}

// ListScanners lists the scanners.
func (a *API) ListScanners(ctx context.Context, r ListScannersRequestObject) (ListScannersResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor, func(after string, n int) ([]*store.Scanner, bool, error) {
		return a.store.Scanners(ctx, after, n)
	}, func(v *store.Scanner) string { return v.Name }, showScanner)
	if err != nil {
		return nil, err
	}
	return ListScanners200JSONResponse{Body: items, Headers: ListScanners200ResponseHeaders{Link: link}}, nil
}

// GetScanner shows one.
func (a *API) GetScanner(ctx context.Context, r GetScannerRequestObject) (GetScannerResponseObject, error) {
	v, err := a.store.Scanner(ctx, r.Scanner)
	if err != nil {
		return nil, err
	}
	return GetScanner200JSONResponse{Body: showScanner(v), Headers: GetScanner200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// PutScanner makes or changes one.
func (a *API) PutScanner(ctx context.Context, r PutScannerRequestObject) (PutScannerResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	b := r.Body
	v, created, err := a.scans.Save(ctx, r.Scanner, store.ScannerPut{URL: b.URL, CAPEM: text(b.CaPem), Username: text(b.Username), Secret: b.Secret,
		RegistryURL: text(b.RegistryURL), Default: isTrue(b.Default), Paused: isTrue(b.Paused)}, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutScanner201JSONResponse{Body: showScanner(v), Headers: PutScanner201ResponseHeaders{ETag: etag(v.Revision)}}, nil
	}
	return PutScanner200JSONResponse{Body: showScanner(v), Headers: PutScanner200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// DeleteScanner forgets one.
func (a *API) DeleteScanner(ctx context.Context, r DeleteScannerRequestObject) (DeleteScannerResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteScanner204Response{}, a.store.DeleteScanner(ctx, r.Scanner, revision)
}

// PingScanner asks one how it is. That it does not answer is what was asked for, and no error.
func (a *API) PingScanner(ctx context.Context, r PingScannerRequestObject) (PingScannerResponseObject, error) {
	v, err := a.scans.Check(ctx, r.Scanner)
	if err != nil {
		return nil, err
	}
	return PingScanner200JSONResponse(showScanner(v)), nil
}
