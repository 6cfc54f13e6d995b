package scan

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readTime is how long a scrape waits for the database.
const readTime = 2 * time.Second

// Collector is what there is to measure about scans: those that this process asked for, and how old the vulnerability data of
// each scanner are. The latter is read from the database with each scrape, and left out if that does not answer.
func (s *Service) Collector() prometheus.Collector {
	return &collector{s: s, age: prometheus.NewDesc("hallmark_scanner_database_age_seconds",
		"How old the vulnerability data of a scanner are; none: it does not say.", []string{"scanner"}, nil)}
}

type collector struct {
	s   *Service
	age *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.age
	c.s.scans.Describe(out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.s.scans.Collect(out)
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	all, _, err := c.s.store.Scanners(ctx, "", scannersMost)
	if err != nil {
		return
	}
	for _, v := range all {
		if at := v.Health.DatabaseAt; !at.IsZero() {
			out <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, max(0, c.s.store.Now().Sub(at).Seconds()), v.Name)
		}
	}
}
