// Package migrations brings a database to the schema this binary knows.
//
// NNNN_name.sql is for both engines; NNNN_name.postgres.sql and NNNN_name.sqlite.sql follow it where truth differs. A
// file that has landed is never edited. Each states oldest_binary: the newest schema a binary has to know to work on it,
// so that an upgrade goes in two steps (expand, then contract) and the binary before can go on meanwhile.
package migrations
