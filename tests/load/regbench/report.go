package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// figures are the measured ones in the order in which they are shown.
var figures = []string{"ops_s", "wall_us_op", "cpu_us_op", "of_off", "user_us_op", "sys_us_op", "p50_ms", "p99_ms", "mb_s", "cpu_s_gb", "user_s_gb", "items", "ops", "secs", "cpu_s",
	"ready_ms", "idle_rss_mib", "idle_anon_mib", "peak_rss_mib", "peak_anon_mib", "bad"}

// results are records by test, label and figure.
type results struct {
	values        map[string]map[string]map[string][]float64
	order, labels []string // of tests and labels, as they came
	notes         []string
}

func readResults(files []string) (*results, error) {
	r := &results{values: map[string]map[string]map[string][]float64{}}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for l := range strings.Lines(string(b)) {
			var rec record
			if err := json.Unmarshal([]byte(l), &rec); err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			r.add(rec)
		}
	}
	return r, nil
}

func (r *results) add(rec record) {
	if rec.Note != "" {
		r.notes = append(r.notes, fmt.Sprintf("- %s, %s: %s", rec.Label, rec.Test, rec.Note))
	}
	if len(rec.M) == 0 {
		return
	}
	if r.values[rec.Test] == nil {
		r.values[rec.Test] = map[string]map[string][]float64{}
		r.order = append(r.order, rec.Test)
	}
	if r.values[rec.Test][rec.Label] == nil {
		r.values[rec.Test][rec.Label] = map[string][]float64{}
	}
	for k, v := range rec.M {
		r.values[rec.Test][rec.Label][k] = append(r.values[rec.Test][rec.Label][k], v)
	}
	if !slices.Contains(r.labels, rec.Label) {
		r.labels = append(r.labels, rec.Label)
	}
}

// report prints, for each test, one line per server with all its figures.
func report(w io.Writer, files []string) error {
	r, err := readResults(files)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, t := range r.order {
		used := slices.DeleteFunc(slices.Clone(figures), func(f string) bool {
			return !slices.ContainsFunc(r.labels, func(l string) bool { return len(r.values[t][l][f]) > 0 })
		})
		fmt.Fprintf(&b, "\n### %s\n\n| server | %s |\n|---|%s\n", t, strings.Join(used, " | "), strings.Repeat("---:|", len(used)))
		for _, l := range r.labels {
			if r.values[t][l] == nil {
				continue
			}
			var cells []string
			for _, f := range used {
				cells = append(cells, cell(r.values[t][l][f]))
			}
			fmt.Fprintf(&b, "| %s | %s |\n", l, strings.Join(cells, " | "))
		}
	}
	if len(r.notes) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(r.notes, "\n"))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// cell is the median and, in brackets, the smallest and the largest.
func cell(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	low, high := slices.Min(v), slices.Max(v)
	if low == high {
		return number(low)
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(v)), number(low), number(high))
}

// number has about three digits that count.
func number(x float64) string {
	digits := 3
	switch {
	case x >= 100:
		digits = 0
	case x >= 10:
		digits = 1
	case x >= 1:
		digits = 2
	}
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
