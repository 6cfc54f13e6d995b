package jobservice

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How a try can end, as metrics and settle call it.
const (
	resultDone      = "done"
	resultRetry     = "retry" // failed, and there is another try
	resultFailed    = "failed"
	resultDead      = "dead"
	resultCancelled = "cancelled"
	resultReleased  = "released" // given back because this process ends
	resultLost      = "lost"     // somebody else has the job
)

// otherKind stands for all kinds that are not run here, so that rows cannot make labels.
const otherKind = "other"

const (
	// depthTime bounds what a scrape asks the database.
	depthTime = 2 * time.Second
	// depthSQL counts what is due and not begun, by kind, with the time since which the oldest is.
	depthSQL = `SELECT kind, count(*), min(run_at) FROM job WHERE state = 'queued' AND run_at <= $1 GROUP BY kind`
	// runningSQL counts what runs in all processes.
	runningSQL = `SELECT kind, count(*), 0 FROM job WHERE state = 'running' AND lease_until > $1 GROUP BY kind`
)

// metrics are what this process counts.
type metrics struct {
	tries    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics() metrics {
	return metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hallmark_jobs_tries_total",
			Help: "Tries of jobs that ended in this process, by result."}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hallmark_jobs_duration_seconds",
			Help:    "How long tries of jobs took in this process.",
			Buckets: []float64{.01, .1, 1, 10, 60, 600, 1800}}, []string{"kind"}),
	}
}

func (m metrics) ended(kind, result string, took time.Duration) {
	m.tries.WithLabelValues(kind, result).Inc()
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
}

// Collector is what there is to measure about jobs: what this process did, and what waits and runs in all of them. The
// latter is read from the database with each scrape, and left out if that does not answer.
func (r *Runner) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("hallmark_jobs_"+name, help, labels, nil)
	}
	return &collector{r: r,
		depth:   desc("depth", "Jobs that are due and not begun, in the whole hub.", "kind"),
		oldest:  desc("oldest_age_seconds", "For how long the oldest of them has been due.", "kind"),
		running: desc("running", "Jobs that run, in the whole hub.", "kind"),
		queue:   desc("queue_up", "Whether the queue could be reached when this process last asked it."),
	}
}

type collector struct {
	r                             *Runner
	depth, oldest, running, queue *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.depth, c.oldest, c.running, c.queue} {
		out <- d
	}
	c.r.metrics.tries.Describe(out)
	c.r.metrics.duration.Describe(out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.r.metrics.tries.Collect(out)
	c.r.metrics.duration.Collect(out)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	up := 1.0
	if c.r.queueIsBad() {
		up = 0
	}
	gauge(c.queue, up)
	ctx, cancel := context.WithTimeout(context.Background(), depthTime)
	defer cancel()
	now := c.r.db.Micros()
	due, err := c.count(ctx, depthSQL, now)
	running, err2 := c.count(ctx, runningSQL, now)
	if err != nil || err2 != nil {
		return
	}
	for kind, n := range due {
		gauge(c.depth, n.n, kind)
		age := 0.0
		if n.n > 0 {
			age = max(0, float64(now-n.since)/1e6)
		}
		gauge(c.oldest, age, kind)
	}
	for kind, n := range running {
		gauge(c.running, n.n, kind)
	}
}

type counted struct {
	n     float64
	since int64
}

// count runs a statement that counts by kind. Every kind that is run here has a number.
func (c *collector) count(ctx context.Context, sql string, now int64) (map[string]counted, error) {
	all := map[string]counted{}
	for kind := range c.r.specs {
		all[kind] = counted{}
	}
	err := c.r.db.Query(ctx, sql, []any{now}, func(scan func(...any) error) error {
		var kind string
		var n, since int64
		if err := scan(&kind, &n, &since); err != nil {
			return err
		}
		if _, ours := c.r.specs[kind]; !ours {
			kind = otherKind
		}
		have := all[kind]
		if have.n == 0 || since < have.since {
			have.since = since
		}
		have.n += float64(n)
		all[kind] = have
		return nil
	})
	return all, err
}
