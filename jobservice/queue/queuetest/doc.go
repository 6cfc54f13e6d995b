// Package queuetest is the contract of queue.Queue as tests, for every implementation.
package queuetest
