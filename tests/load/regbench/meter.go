package main

import (
	"sync"
	"time"
)

// meter brackets a load with the servers' CPU time and peak memory.
type meter struct {
	p      procSet
	u0, s0 float64
	t0     time.Time
	stop   func() float64 // ends the sampling of anonymous memory; nil without one
}

func (p procSet) begin() *meter {
	p.resetPeak()
	m := &meter{p: p, t0: time.Now()}
	m.u0, m.s0 = p.cpu()
	return m
}

// anonInterval is how often anonymous memory is sampled: the kernel keeps a high-water mark only of all resident memory,
// and in that the page cache of mapped files counts too.
const anonInterval = 20 * time.Millisecond

// watchAnon samples anonymous memory until end.
func (m *meter) watchAnon() *meter {
	pids := m.p.tree()
	done := make(chan struct{})
	var wg sync.WaitGroup
	var peak float64
	wg.Go(func() {
		tick := time.NewTicker(anonInterval)
		defer tick.Stop()
		for {
			var kb int64
			for _, pid := range pids {
				kb += statusKB(pid, "RssAnon")
			}
			peak = max(peak, float64(kb)/1024)
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	m.stop = func() float64 { close(done); wg.Wait(); return peak }
	return m
}

// end returns the figures; n is the number of operations and bytes the payload moved (either may be 0).
func (m *meter) end(n, bytes float64) map[string]float64 {
	secs := time.Since(m.t0).Seconds()
	u, s := m.p.cpu()
	u, s = u-m.u0, s-m.s0
	out := map[string]float64{"secs": secs}
	if m.stop != nil {
		out["peak_anon_mib"] = m.stop()
	}
	if len(m.p) > 0 {
		out["cpu_s"] = u + s
		out["peak_rss_mib"] = m.p.memory("VmHWM")
		if n > 0 {
			out["cpu_us_op"] = (u + s) / n * 1e6
			out["user_us_op"] = u / n * 1e6
			out["sys_us_op"] = s / n * 1e6
		}
		if bytes > 0 {
			out["cpu_s_gb"] = (u + s) / (bytes / 1e9)
			out["user_s_gb"] = u / (bytes / 1e9)
		}
	} else {
		delete(out, "peak_anon_mib")
	}
	if n > 0 {
		out["ops"] = n
		out["ops_s"] = n / secs
	}
	if bytes > 0 {
		out["mb_s"] = bytes / 1e6 / secs
	}
	return out
}
