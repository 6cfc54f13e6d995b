// Package spec reads openapi.yaml, so that one text is the documentation, the source of the generated code, and what
// requests are checked against: names of parameters and fields, types, lengths, patterns, enums.
//
// It knows the part of OpenAPI 3.0 that our file uses, and refuses a file that uses more. Read document.go first.
package spec
