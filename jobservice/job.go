package jobservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is where a job stands.
type State string

// The states. A job ends in exactly one of the last four.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed" // with an error that trying again does not mend
	Dead      State = "dead"   // after as many tries as its kind allows
	Cancelled State = "cancelled"
)

// Job is what Enqueue writes.
type Job struct {
	Kind string
	// Payload is a struct that becomes JSON; nil is an empty one. Never a secret: it is shown to administrators.
	Payload any
	// UniqueKey, unless "", is had by at most one job that is queued or running.
	UniqueKey string
	// Priority: higher comes first; 0 is usual, queue.MaxPriority and its negative are the ends.
	Priority int64
	// Project is the id of the project it is for; "" is the hub.
	Project string
	// Target names whom the job talks to, for Spec.MaxPerTarget; "" is nobody in particular.
	Target string
	// RunAt is when it may run at the earliest; the zero time is now.
	RunAt time.Time
	// Sooner has the job that is there with the same UniqueKey run as early as this one would, if it waits for later.
	Sooner bool
}

// Defaults of Spec.
const (
	DefaultTimeout     = 30 * time.Minute
	DefaultMaxAttempts = 8
)

// Spec is how jobs of one kind are run.
type Spec struct {
	// Run does the work. It may be called several times for one job, also at the same time (by a worker that was
	// believed dead): what it changes in the database goes through Task.Write or Task.Finish, and what it changes
	// elsewhere has to bear repetition. nil without a call of Finish ends the job as well. It returns soon after ctx
	// has ended. A panic counts as an error.
	Run func(ctx context.Context, t *Task) error
	// Timeout is how long one try may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// MaxAttempts is how many tries there are before the job is dead; 0 is DefaultMaxAttempts.
	MaxAttempts int
	// MaxRunning is how many run at once in all processes; 0 is no limit but Options.Workers of each.
	MaxRunning int
	// Quiet: nobody is told when a job of this kind is dead, which is for the kinds that tell.
	Quiet bool
	// MaxPerTarget is how many with the same Job.Target run at once in all processes; 0 is no limit.
	MaxPerTarget int
}

// Reasons for which the context of a running job ends (context.Cause), and errors of Task.Write and Task.Finish.
var (
	// ErrLost says that the lease ran out or somebody else has the job now: nothing of this try counts.
	ErrLost = errors.New("the job was given to another worker")
	// ErrCancelled says that somebody cancelled the job.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrDraining says that this process ends; the job goes to another one.
	ErrDraining = errors.New("this worker is stopping")

	errTimeout = errors.New("the time for one try is over")
)

// Permanent marks an error that trying again does not mend: the job ends as failed.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// targetLimit is how many bytes a target may have.
const targetLimit = 255

// payloadLimit is how many bytes of JSON a payload may have.
const payloadLimit = 64 << 10

func encodePayload(v any) (string, error) {
	if v == nil {
		return "{}", nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("the payload of a job cannot be written as JSON: %w", err)
	}
	if len(b) > payloadLimit {
		return "", fmt.Errorf("the payload of a job has %d bytes, more than %d", len(b), payloadLimit)
	}
	return string(b), nil
}
