// Package ledger is what happens inside and beside a push and a pull: the audit row in the push's own transaction, and
// the counts of pulls and what the gate refused of them, added up in memory and written in blocks.
//
// What happened is also written down for whoever is told (events.go). It may know both nouns, the domain's and the registry's. Read ledger.go.
package ledger
