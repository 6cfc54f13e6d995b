package api

import (
	"context"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// Part is one part of the hub and how it is.
type Part struct {
	Name    string
	Status  string // ok, degraded, down
	Message string // for people; "" when it is ok
}

// GetSystemInfo tells version and addresses.
func (a *API) GetSystemInfo(ctx context.Context, _ GetSystemInfoRequestObject) (GetSystemInfoResponseObject, error) {
	base := a.proxies.Base(callOf(ctx).request)
	_, host, _ := strings.Cut(base, "://")
	return GetSystemInfo200JSONResponse{Version: a.version, Commit: optional(a.commit), Registry: host, PublicURL: optional(base), Now: a.store.Now().UTC()}, nil
}

// GetSystemHealth tells how the parts of the hub are.
func (a *API) GetSystemHealth(ctx context.Context, _ GetSystemHealthRequestObject) (GetSystemHealthResponseObject, error) {
	out := SystemHealth{Status: SystemHealthStatusOk, Parts: []HealthPart{}}
	rank := map[SystemHealthStatus]int{SystemHealthStatusOk: 0, SystemHealthStatusDegraded: 1, SystemHealthStatusDown: 2}
	for _, p := range a.health(ctx) {
		if s := SystemHealthStatus(p.Status); rank[s] > rank[out.Status] {
			out.Status = s
		}
		out.Parts = append(out.Parts, HealthPart{Name: p.Name, Status: HealthPartStatus(p.Status), Message: optional(p.Message)})
	}
	return GetSystemHealth200JSONResponse(out), nil
}

// GetStatistics counts what the hub holds.
func (a *API) GetStatistics(ctx context.Context, _ GetStatisticsRequestObject) (GetStatisticsResponseObject, error) {
	s, err := a.store.Statistics(ctx)
	if err != nil {
		return nil, err
	}
	return GetStatistics200JSONResponse{Users: s.Users, Projects: s.Projects, PublicProjects: s.PublicProjects, Robots: s.Robots,
		Repositories: s.Repositories, Artifacts: s.Artifacts, Tags: s.Tags, Blobs: s.Blobs, StoredBytes: s.StoredBytes,
		UsedBytes: s.UsedBytes, Pulls: s.Pulls}, nil
}

// GetHubKey shows the key that the hub states its verdicts with.
func (a *API) GetHubKey(context.Context, GetHubKeyRequestObject) (GetHubKeyResponseObject, error) {
	pem := a.gate.HubKey()
	if pem == "" {
		return nil, core.Errorf(core.CodeNotFound, "this hub states no verdicts")
	}
	return GetHubKey200ApplicationXPemFileResponse{Body: strings.NewReader(pem), ContentLength: int64(len(pem))}, nil
}

// RotateKeys makes a new key for signing registry tokens.
func (a *API) RotateKeys(ctx context.Context, _ RotateKeysRequestObject) (RotateKeysResponseObject, error) {
	return RotateKeys204Response{}, a.auth.RotateKeys(ctx)
}
