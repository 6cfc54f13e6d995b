package upstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/hallmarkhub/hallmark/registry"
)

// errSlow ends what a registry behind does not go on with.
var errSlow = errors.New("the registry behind went silent")

// reading tells an error of the registry behind to who reads. That something is not there is an answer; all else is a
// fault of that registry or of the hub's credentials there, and nothing that who reads could put right.
func (p *place) reading(ctx context.Context, err error) error {
	switch registry.CodeOf(err) {
	case "", registry.CodeManifestUnknown, registry.CodeBlobUnknown, registry.CodeNameUnknown, registry.CodeQueryInvalid,
		registry.CodeTagInvalid: // of what was asked for
		return err
	}
	return p.fault(ctx, err)
}

// writing tells an error to who pushes or deletes, who may have sent what the registry behind does not take.
func (p *place) writing(ctx context.Context, err error) error {
	switch registry.CodeOf(err) {
	case registry.CodeUnauthorized, registry.CodeUnavailable, registry.CodeUnknown:
		return p.fault(ctx, err)
	}
	return err
}

func (p *place) fault(ctx context.Context, err error) error {
	if p.asked.Err() != nil { // who asked has gone
		return p.asked.Err()
	}
	e := registry.NewError(registry.CodeUnavailable, fmt.Sprintf("the registry behind project %s cannot answer: %s", p.project, saidOf(ctx, p.to.Host(), err)))
	var of *registry.Error
	if errors.As(err, &of) {
		e.RetryAfter = of.RetryAfter
	}
	return fmt.Errorf("%w (%w)", e, err)
}

// saidOf is the sentence of an error.
func saidOf(ctx context.Context, host string, err error) string {
	var e *registry.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(context.Cause(ctx), errSlow):
		return host + " takes too long. Try again later; if it stays so, check that registry."
	case errors.As(err, &e):
		return e.Message
	}
	return host + " broke off. Try again later."
}
