package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// table prints the figures that have targets: Hallmark beside distribution and the floors of the same run.
func table(w io.Writer, files []string) error {
	if len(files) == 0 {
		return errors.New("table: which results?")
	}
	r, err := readResults(files)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| server CPU per operation unless said | target | floor: Go / nginx | distribution | hallmark | hallmark / distribution | hallmark / Go floor | |\n")
	fmt.Fprintf(&b, "|---|---:|---:|---:|---:|---:|---:|---|\n")
	held, missed := 0, 0
	for _, t := range targets {
		of := func(label, test string) []float64 { return scaled(r.values[test][label][t.figure], t.scale) }
		floorTest := t.floor
		if floorTest == "" {
			floorTest = t.test
		}
		floor, nginx := of(labelFloor, floorTest), of(labelNginx, floorTest)
		peer, ours := of(labelDistribution, t.test), of(labelHallmark, t.test)
		if len(peer) == 0 && len(ours) == 0 {
			continue
		}
		verdict := ""
		if t.target > 0 {
			switch m := median(ours); {
			case len(ours) == 0:
				verdict = "not measured"
			case m <= t.target:
				verdict = "holds"
				held++
			default:
				verdict = fmt.Sprintf("**misses** by %s x", number(m/t.target))
				missed++
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", t.name, atMost(t.target), floors(floor, nginx), cell(peer), cell(ours),
			ratio(ours, peer), ratio(ours, floor), verdict)
	}
	fmt.Fprintf(&b, "\n%d targets hold, %d are missed. Each cell: median (smallest–largest) of the runs.\n", held, missed)
	if len(r.notes) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(r.notes, "\n"))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] * by
	}
	return out
}

func atMost(target float64) string {
	if target == 0 {
		return ""
	}
	return "<= " + number(target)
}

func floors(golang, nginx []float64) string {
	switch {
	case len(golang) > 0 && len(nginx) > 0:
		return number(median(golang)) + " / " + number(median(nginx))
	case len(golang) > 0:
		return number(median(golang))
	case len(nginx) > 0:
		return "- / " + number(median(nginx))
	}
	return ""
}

func ratio(a, b []float64) string {
	if len(a) == 0 || len(b) == 0 || median(b) == 0 {
		return ""
	}
	return number(median(a) / median(b))
}
