// Package redistest starts Redis servers of their own for tests that kill, stop or empty one, or that need another kind
// than the one of HALLMARK_TEST_REDIS: with TLS, with a sentinel, as a cluster.
package redistest
