// Package service is the HTTP side: the endpoints of the specification, and beside them those of the database. A scan is
// queued, run by the worker, and its reports are kept for a while; nothing outlives the process. It imports spec, report,
// database and worker. Read service.go first, then scans.go.
package service
