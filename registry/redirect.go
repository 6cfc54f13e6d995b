package registry

import "context"

type noRedirectKey struct{}

// WithoutRedirect asks for the content of blobs itself: whoever reads it is the hub, and no client to be sent elsewhere.
func WithoutRedirect(ctx context.Context) context.Context {
	return context.WithValue(ctx, noRedirectKey{}, true)
}

// MayRedirect reports whether a blob may be answered with an address.
func MayRedirect(ctx context.Context) bool { return ctx.Value(noRedirectKey{}) == nil }
