// Package store is all SQL of the domain, one file per noun, on one concrete Store. Statements are one text for SQLite
// and Postgres; what must differ stands in *_postgres.go beside *_sqlite.go. A change writes its audit row and says what
// others have cached (db.Tx.Changed) in its own transaction. No function takes the id of a child without its project's.
//
// It imports core and core/db. Read store.go, then the noun.
package store
