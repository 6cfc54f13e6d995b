// Command hallmark is the hub, and the client that talks to it.
//
// main.go has the commands, config.go and settings.go the configuration, serve.go what runs while it runs, wire.go the
// one place that knows every room, open.go what has to be opened first and how each way of failing is told.
package main
