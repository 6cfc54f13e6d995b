// Package web is what every HTTP surface of the hub but /v2's wire format shares: request ids and origins, the access log,
// recovery, security headers, cross-origin protection, strict JSON bodies, signed cursors, deadlines, the listener's
// limits, and the one place where an error becomes application/problem+json.
//
// It imports core, core/db (for its two errors) and core/auth (whose proxies are believed), and knows no route.
// Read problem.go first, then body.go and origin.go.
package web
