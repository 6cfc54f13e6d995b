// Package db is one handle for both engines, SQLite and Postgres: it opens, reads, writes, tells the time and says what
// other processes changed. It knows no noun and no table but its own (change).
//
// Read db.go first. Reads open no transaction; Write runs one short transaction, on SQLite together with whatever else
// is waiting, on Postgres again when it met a deadlock. core/store, registry/local, jobservice and migrations import it.
package db
