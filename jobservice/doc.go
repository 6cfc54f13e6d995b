// Package jobservice does what is slow or has to happen later: a job is a row, written in the transaction of its cause.
//
// A worker takes a job by changing its row (a lease and a fence that grows with every claim), renews the lease while it
// runs, and writes its effect in the transaction that ends the job, which fails if somebody else has claimed it
// meanwhile. So a job is not lost and its effect in the database is not applied twice; it may run more than once. The
// queue only says who should look at which job now.
//
// The room knows no kinds: those are in work. Read job.go first, then runner.go, claim.go and row.go (the SQL of
// running), sweep.go and cron.go (what is due), admin.go and log.go (what the API asks). It may import core, core/db, core/store and jobservice/queue.
package jobservice
