// Package queue tells workers which job they should look at now. It imports nothing of ours.
//
// A queue carries ids, never jobs: the row in the database is the job, and a sweeper pushes again what is due. So
// losing the whole queue loses nothing, and an id that comes twice or late does no harm. queuetest is the contract.
package queue
