package api

import (
	"context"
	"strconv"

	"github.com/hallmarkhub/hallmark/jobservice"
)

func showJob(j *jobservice.Status) Job {
	return Job{ID: j.ID, Kind: j.Kind, State: JobState(j.State), Project: optional(j.Project), Target: optional(j.Target),
		Progress: int64(j.Progress), Done: optional(j.Done), Total: optional(j.Total), Message: j.Message, Error: j.Error,
		Cancelling: j.Cancelling, Attempts: int64(j.Attempts), MaxAttempts: int64(j.MaxAttempts), RunAt: j.RunAt, CreatedAt: j.CreatedAt,
		StartedAt: optional(j.StartedAt), FinishedAt: optional(j.FinishedAt)}
}

// ListJobs lists the jobs of the hub.
func (a *API) ListJobs(ctx context.Context, r ListJobsRequestObject) (ListJobsResponseObject, error) {
	q := jobservice.Query{State: jobservice.State(text(r.Params.State)), Kind: text(r.Params.Kind), Target: text(r.Params.Target)}
	if r.Params.Project != nil {
		p, err := a.store.ProjectByName(ctx, *r.Params.Project)
		if err != nil {
			return nil, err
		}
		q.Project = p.ID
	}
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*jobservice.Status, bool, error) {
			q.After, q.N = after, n
			return jobservice.List(ctx, a.store.DB(), q)
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

func showLine(l jobservice.Line) JobLine {
	return JobLine{Seq: l.Seq, At: l.At, Attempt: int64(l.Attempt), Text: l.Text}
}

// GetJobLog shows the log of a job.
func (a *API) GetJobLog(ctx context.Context, r GetJobLogRequestObject) (GetJobLogResponseObject, error) {
	if _, err := jobservice.Get(ctx, a.store.DB(), r.ID); err != nil {
		return nil, err
	}
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]jobservice.Line, bool, error) {
			seq, err := strconv.ParseInt("0"+after, 10, 64)
			if err != nil {
				return nil, false, err
			}
			return jobservice.Log(ctx, a.store.DB(), r.ID, seq, n)
		}, func(l jobservice.Line) string { return strconv.FormatInt(l.Seq, 10) }, showLine)
	if err != nil {
		return nil, err
	}
	return GetJobLog200JSONResponse{Body: items, Headers: GetJobLog200ResponseHeaders{Link: link}}, nil
}

func showSchedule(t *jobservice.Timetable) Schedule {
	return Schedule{Name: t.Name, Kind: t.Kind, Spec: t.Spec, Paused: t.Paused, NextAt: t.NextAt, LastAt: optional(t.LastAt), LastJob: optional(t.LastJob)}
}

// ListSchedules lists what makes jobs at certain times.
func (a *API) ListSchedules(ctx context.Context, r ListSchedulesRequestObject) (ListSchedulesResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*jobservice.Timetable, bool, error) {
			return jobservice.Schedules(ctx, a.store.DB(), after, n)
		}, func(t *jobservice.Timetable) string { return t.Name }, showSchedule)
	if err != nil {
		return nil, err
	}
	return ListSchedules200JSONResponse{Body: items, Headers: ListSchedules200ResponseHeaders{Link: link}}, nil
}

// GetSchedule shows a schedule.
func (a *API) GetSchedule(ctx context.Context, r GetScheduleRequestObject) (GetScheduleResponseObject, error) {
	t, err := jobservice.GetSchedule(ctx, a.store.DB(), r.Schedule)
	if err != nil {
		return nil, err
	}
	return GetSchedule200JSONResponse(showSchedule(t)), nil
}

// UpdateSchedule changes or pauses a schedule.
func (a *API) UpdateSchedule(ctx context.Context, r UpdateScheduleRequestObject) (UpdateScheduleResponseObject, error) {
	t, err := a.jobs.ChangeSchedule(ctx, r.Schedule, r.Body.Spec, r.Body.Paused)
	if err != nil {
		return nil, err
	}
	return UpdateSchedule200JSONResponse(showSchedule(t)), nil
}
