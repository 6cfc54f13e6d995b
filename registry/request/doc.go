// Package request turns the method and URL of an HTTP request under /v2 into a Request, and knows nothing of what is
// then done with it. It is pure, so that it can be tested by tables and fuzzed; it imports the standard library,
// go-digest and registry, and nothing else.
//
// Read request.go first: Parse and what it returns. path.go decides which paths exist, query.go reads parameters,
// ranges.go the two range headers.
package request
