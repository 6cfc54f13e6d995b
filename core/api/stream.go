package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/jobservice"
)

const (
	// jobPoll is how often a followed job is looked at. It is a row, and whoever runs it may be another process.
	jobPoll = 500 * time.Millisecond
	// jobBeat is how often something is sent when nothing changes, so that proxies keep the connection.
	jobBeat = 15 * time.Second
	// jobFollow is how long one stream lasts; browsers come again by themselves.
	jobFollow = time.Hour
	// jobLines is how many lines of the log are sent at once.
	jobLines = 200
)

// How many streams there are at once, because each asks the database again and again.
const (
	maxStreams   = 100
	maxStreamsOf = 10 // of one principal
)

// streams counts them.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// enter counts one more; leave is nil if there are too many.
func (s *streams) enter(p *core.Principal) (leave func(), err error) {
	who := string(p.Kind) + ":" + p.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.of[who] >= maxStreamsOf {
		return nil, core.Errorf(core.CodeTooMany, "too many streams are open: at most %d of one user and %d of all. End one, or read the job now and then", maxStreamsOf, maxStreams)
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[who]--; s.of[who] == 0 {
			delete(s.of, who)
		}
	}, nil
}

// StreamJobEvents sends a job as it is and after every change, and its log.
func (a *API) StreamJobEvents(ctx context.Context, r StreamJobEventsRequestObject) (StreamJobEventsResponseObject, error) {
	j, err := jobservice.Get(ctx, a.store.DB(), r.ID)
	if err != nil {
		return nil, err
	}
	leave, err := a.streams.enter(callOf(ctx).principal)
	if err != nil {
		return nil, err
	}
	s := &jobStream{a: a, ctx: ctx, job: j, leave: leave}
	if r.Params.LastEventID != nil {
		s.line = *r.Params.LastEventID
	}
	return s, nil
}

// jobStream is the answer of StreamJobEvents.
type jobStream struct {
	a     *API
	ctx   context.Context
	leave func()
	job   *jobservice.Status
	sent  string // the job as it was sent last
	line  int64  // of the log, the last that was sent
}

// VisitStreamJobEventsResponse writes events until the job has ended, the client has gone or the rights have.
func (s *jobStream) VisitStreamJobEventsResponse(w http.ResponseWriter) error {
	defer s.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	ctx, cancel := context.WithTimeout(s.ctx, jobFollow)
	defer cancel()
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	for quiet := time.Duration(0); ; quiet += jobPoll {
		events, err := s.news(ctx)
		if err != nil {
			return nil // the status line is out: all that is left is to end
		}
		if events == "" && quiet >= jobBeat {
			events = ": still there\n\n"
		}
		if events != "" {
			quiet = 0
			_ = rc.SetWriteDeadline(time.Now().Add(2 * jobBeat))
			if _, err := w.Write([]byte(events)); err != nil || rc.Flush() != nil {
				return nil
			}
		}
		if !s.job.FinishedAt.IsZero() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.job, err = s.again(ctx); err != nil {
			return nil
		}
	}
}

// news is what has not been sent yet, as events. What a job said comes before that it has ended.
func (s *jobStream) news(ctx context.Context) (string, error) {
	var out strings.Builder
	event := func(name, id string, v any) error {
		body, err := json.Marshal(v)
		fmt.Fprintf(&out, "event: %s\n%sdata: %s\n\n", name, id, body)
		return err
	}
	shown := showJob(s.job)
	body, err := json.Marshal(shown)
	if err != nil {
		return "", err
	}
	if now := string(body); now != s.sent {
		s.sent = now
		if err := event("job", "", shown); err != nil {
			return "", err
		}
	}
	for more := s.job.LogLines > s.line; more; {
		var page []jobservice.Line
		if page, more, err = jobservice.Log(ctx, s.a.store.DB(), s.job.ID, s.line, jobLines); err != nil {
			return "", err
		}
		for _, l := range page {
			s.line = l.Seq
			if err := event("log", fmt.Sprintf("id: %d\n", l.Seq), showLine(l)); err != nil {
				return "", err
			}
		}
	}
	if !s.job.FinishedAt.IsZero() {
		if err := event("end", "", shown); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

// again reads the job once more, if whoever follows it still may: a stream outlives rights.
func (s *jobStream) again(ctx context.Context) (*jobservice.Status, error) {
	if err := s.a.stillMay(ctx); err != nil {
		return nil, err
	}
	return jobservice.Get(ctx, s.a.store.DB(), s.job.ID)
}
