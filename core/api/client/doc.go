// Package client speaks to the admin API of a hub: over the network, over the hub's local socket, or to a handler in this
// process. It knows how requests, pages and refusals look, and no noun; the nouns are in openapi.yaml.
//
// Besides the standard library it imports core/web, for answers from within. Read client.go.
package client
