package api

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// GetVerdict says whether an artifact may be pulled, and why.
func (a *API) GetVerdict(ctx context.Context, r GetVerdictRequestObject) (GetVerdictResponseObject, error) {
	ref := registry.Reference{Tag: r.Reference}
	if strings.Contains(r.Reference, ":") {
		ref = registry.Reference{Digest: digest.Digest(r.Reference)}
	}
	x, err := a.gate.Explain(ctx, callOf(ctx).repository, ref)
	if err != nil {
		return nil, told(err)
	}
	return GetVerdict200JSONResponse(*x), nil
}
