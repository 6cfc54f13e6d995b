// Package event says what has happened, for whoever wants to be told: each is a row, written in the transaction of its cause.
//
// It may import core, core/db and core/store. Read event.go.
package event
