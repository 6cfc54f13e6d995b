// Package e2e drives the built scanner-adapter over HTTP with real images, hostile ones among them.
package e2e
