package jobservice_test

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// measured reads all numbers of a runner, by name and labels: "depth{kind=x}".
func measured(t *testing.T, r *jobservice.Runner) map[string]float64 {
	t.Helper()
	all := prometheus.NewPedanticRegistry()
	all.MustRegister(r.Collector())
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "hallmark_jobs_") + "{" + strings.Join(labels, ",") + "}"
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

// What is measured has the kinds that are run here as labels, and one for all others.
func TestMetrics(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		end, started := make(chan struct{}), make(chan struct{})
		h.Register("long", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { close(started); <-end; return nil }})
		h.Register("bad", jobservice.Spec{MaxAttempts: 3, Run: func(context.Context, *jobservice.Task) error { return errMine }})
		h.Register("wrong", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return jobservice.Permanent(errMine) }})
		for range 2 {
			h.enqueue(jobservice.Job{Kind: "made up"})
			h.enqueue(jobservice.Job{Kind: "made up too"})
		}
		id := h.enqueue(jobservice.Job{Kind: "long"})
		if got := measured(t, h.Runner); got["depth{kind=long}"] != 1 || got["depth{kind=other}"] != 4 || got["oldest_age_seconds{kind=long}"] <= 0 {
			t.Errorf("before: %v", got)
		}
		h.start()
		h.untilState(h.enqueue(jobservice.Job{Kind: "bad"}), jobservice.Dead)
		h.untilState(h.enqueue(jobservice.Job{Kind: "wrong"}), jobservice.Failed)
		receive(t, started)
		want := map[string]float64{"depth{kind=long}": 0, "depth{kind=bad}": 0, "depth{kind=wrong}": 0, "depth{kind=other}": 4,
			"running{kind=long}": 1, "running{kind=bad}": 0, "running{kind=wrong}": 0, "queue_up{}": 1,
			"oldest_age_seconds{kind=long}": 0, "oldest_age_seconds{kind=bad}": 0, "oldest_age_seconds{kind=wrong}": 0,
			"tries_total{kind=bad,result=retry}": 2, "tries_total{kind=bad,result=dead}": 1, "tries_total{kind=wrong,result=failed}": 1,
			"duration_seconds{kind=bad}": 3, "duration_seconds{kind=wrong}": 1}
		got := measured(t, h.Runner)
		if got["oldest_age_seconds{kind=other}"] <= 0 {
			t.Errorf("got %v", got)
		}
		delete(got, "oldest_age_seconds{kind=other}")
		for name, v := range want {
			if got[name] != v {
				t.Errorf("%s is %v, want %v", name, got[name], v)
			}
			delete(got, name)
		}
		if len(got) > 0 {
			t.Errorf("also %v", got)
		}
		close(end)
		h.untilState(id, jobservice.Done)
	})
}

// A queue that cannot be reached shows.
func TestMetricsQueueDown(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := &hub{t: t, db: d, Runner: jobservice.New(d, deafQueue{}, quick())}
		h.Register("x", jobservice.Spec{})
		h.enqueue(jobservice.Job{Kind: "x"})
		if got := measured(t, h.Runner); got["queue_up{}"] != 0 {
			t.Errorf("got %v", got)
		}
	})
}
