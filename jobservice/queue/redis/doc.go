// Package redis is the queue of a hub that is several processes: one sorted set of ids in a Redis, by Sentinel or in a
// cluster too. It may import jobservice/queue.
//
// Nothing in it has to last. FLUSHALL, a restart from nothing or from an old snapshot and a server that hangs cost time,
// never a job: the rows are swept again and again. Read queue.go first, address.go is the URL.
package redis
