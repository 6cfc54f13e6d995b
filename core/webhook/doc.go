// Package webhook tells others what has happened: it finds out who wants to be told of an event, and sends it by HTTP, by mail
// or to a chat.
//
// Sending is at least once: each event has one row for each webhook (store.Delivery), and what a job of jobservice/work does is
// Deliver. It may import core, core/access, core/db, core/event, core/seal and core/store. Read webhook.go, then deliver.go;
// one file for each channel.
package webhook
