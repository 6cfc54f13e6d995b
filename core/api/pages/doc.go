// Package pages renders the two pages the hub has without its portal: the documentation of the API, made from openapi.yaml,
// and the first page. Both are plain HTML with one style element: no script, nothing from outside.
//
// It imports core/api/spec and core/web. Read docs.go, then home.go.
package pages
