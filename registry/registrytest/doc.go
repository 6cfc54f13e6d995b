// Package registrytest is the contract of registry.Registry as tests: Run them on every implementation and on stacks
// of them, in memory, over SQL, over HTTP.
//
// A test's name is a sentence about the product. Where an implementation is documented to refuse or to allow
// something (another vendor's server behind registry/remote), its Subject says so and the suite asserts exactly that
// behaviour; nothing is skipped. Read suite.go first, then the file of the noun. It may import the standard library,
// go-digest, image-spec and registry.
package registrytest
