// Package attack attacks a whole running hub over HTTP: the built binary (HALLMARK_BIN, else bin/hallmark) on SQLite
// and, where HALLMARK_TEST_POSTGRES names a server, on Postgres. A test has the number of its row of the table of
// attacks in its name (V-.., W-..), so that a search finds it. The tests of one file share a hub for each database.
package attack
