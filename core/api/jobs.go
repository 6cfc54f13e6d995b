package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/jobservice"
)

func showJob(j *jobservice.Status) Job {
	return Job{ID: j.ID, Kind: j.Kind, State: JobState(j.State), Progress: int64(j.Progress), Message: j.Message, Error: j.Error,
		Cancelling: j.Cancelling, Attempts: int64(j.Attempts), MaxAttempts: int64(j.MaxAttempts), RunAt: j.RunAt, CreatedAt: j.CreatedAt,
		StartedAt: optional(j.StartedAt), FinishedAt: optional(j.FinishedAt)}
}

// ListJobs lists the jobs of the hub.
func (a *API) ListJobs(ctx context.Context, r ListJobsRequestObject) (ListJobsResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*jobservice.Status, bool, error) {
			return jobservice.List(ctx, a.store.DB(), jobservice.Query{State: jobservice.State(text(r.Params.State)),
				Kind: text(r.Params.Kind), After: after, N: n})
		}, func(j *jobservice.Status) string { return j.ID }, showJob)
	if err != nil {
		return nil, err
	}
	return ListJobs200JSONResponse{Body: items, Headers: ListJobs200ResponseHeaders{Link: link}}, nil
}

// GetJob shows a job.
func (a *API) GetJob(ctx context.Context, r GetJobRequestObject) (GetJobResponseObject, error) {
	j, err := jobservice.Get(ctx, a.store.DB(), r.ID)
	if err != nil {
		return nil, err
	}
	return GetJob200JSONResponse(showJob(j)), nil
}

// CancelJob stops a job.
func (a *API) CancelJob(ctx context.Context, r CancelJobRequestObject) (CancelJobResponseObject, error) {
	j, err := a.jobs.Cancel(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return CancelJob202JSONResponse(showJob(j)), nil
}

// RetryJob runs a job again.
func (a *API) RetryJob(ctx context.Context, r RetryJobRequestObject) (RetryJobResponseObject, error) {
	j, err := a.jobs.Retry(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return RetryJob202JSONResponse(showJob(j)), nil
}

const (
	// jobPoll is how often a followed job is looked at. It is a row, and whoever runs it may be another process.
	jobPoll = 500 * time.Millisecond
	// jobBeat is how often something is sent when nothing changes, so that proxies keep the connection.
	jobBeat = 15 * time.Second
	// jobFollow is how long one stream lasts; browsers come again by themselves.
	jobFollow = time.Hour
)

// StreamJobEvents sends a job as it is and after every change.
func (a *API) StreamJobEvents(ctx context.Context, r StreamJobEventsRequestObject) (StreamJobEventsResponseObject, error) {
	j, err := jobservice.Get(ctx, a.store.DB(), r.ID)
	if err != nil {
		return nil, err
	}
	return jobStream{a: a, ctx: ctx, first: j}, nil
}

// jobStream is the answer of StreamJobEvents.
type jobStream struct {
	a     *API
	ctx   context.Context
	first *jobservice.Status
}

// VisitStreamJobEventsResponse writes events until the job has ended, the client has gone or the rights have.
func (s jobStream) VisitStreamJobEventsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	ctx, cancel := context.WithTimeout(s.ctx, jobFollow)
	defer cancel()
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	sent, quiet := "", time.Duration(0)
	for j := s.first; ; {
		body, err := json.Marshal(showJob(j))
		if err != nil {
			return nil
		}
		event := ""
		if now := string(body); now != sent {
			sent, event = now, fmt.Sprintf("event: job\ndata: %s\n\n", body)
		} else if quiet += jobPoll; quiet >= jobBeat {
			event = ": still there\n\n"
		}
		if event != "" {
			quiet = 0
			_ = rc.SetWriteDeadline(time.Now().Add(2 * jobBeat))
			if _, err := w.Write([]byte(event)); err != nil || rc.Flush() != nil {
				return nil
			}
		}
		if !j.FinishedAt.IsZero() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if j, err = s.again(ctx, j.ID); err != nil {
			return nil // the status line is out: all that is left is to end
		}
	}
}

// again reads the job once more, if whoever follows it still may: a stream outlives rights.
func (s jobStream) again(ctx context.Context, id string) (*jobservice.Status, error) {
	if err := s.a.stillMay(ctx); err != nil {
		return nil, err
	}
	return jobservice.Get(ctx, s.a.store.DB(), id)
}
