// Package pages renders the pages the hub has without its portal: the documentation of the API, made from openapi.yaml, the
// first page, and verdicts of the gate, in English and Chinese. All are plain HTML with one style element: no script, nothing
// from outside.
//
// It imports core/api/spec, core/gate and core/web. Read docs.go, then home.go and verdict.go.
package pages
