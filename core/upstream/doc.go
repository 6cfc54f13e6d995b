// Package upstream puts the hub in front of registries that are there already: a project that names one has its
// repositories there. Router (router.go) sends what is asked of such a project to registry/remote, with the credentials
// of the endpoint, and all else to the hub's own storage. It stands where that alone stood: below the gate and the rights.
//
// The registry behind is believed nothing: what it sends is checked against its digest, it has deadlines, and what goes
// wrong with it is told as a fault of it and never as an answer. Read router.go, then endpoint.go.
package upstream
