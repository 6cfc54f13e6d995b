// Package api is the admin API: openapi.yaml says what there is, api.gen.go is made from it (generate.sh), and one file per
// noun answers. Every request goes the same way: guard.go finds out who asks, rules.go which action that is, access
// whether it may be done, spec whether the request is what openapi.yaml says; only then a handler runs.
//
// It imports core and its rooms, jobservice and registry; cmd wires it. Read api.go, rules.go and guard.go first. To add
// an operation: openapi.yaml, generate.sh, a row in rules.go, a handler, a row in the matrix of matrix_test.go.
package api
