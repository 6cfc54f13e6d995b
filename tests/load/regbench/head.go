package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sort"
	"sync"
	"time"
)

// bare sends a load whose answers have no body over keep-alive connections: HEAD, after which wrk would wait for the
// body for ever.
func (p procSet) bare(ctx context.Context, l load) (map[string]float64, error) {
	u, err := url.Parse(l.target)
	if err != nil {
		return nil, err
	}
	var req bytes.Buffer
	fmt.Fprintf(&req, "%s %s HTTP/1.1\r\nHost: %s\r\n", l.method, u.RequestURI(), u.Host)
	for _, h := range l.headers {
		req.WriteString(h + "\r\n")
	}
	req.WriteString("\r\n")
	var (
		mu   sync.Mutex
		all  []float64
		bad  int
		errs []error
		wg   sync.WaitGroup
	)
	m := p.begin()
	end := time.Now().Add(l.dur)
	for range l.conns {
		wg.Go(func() {
			c := &bareConn{url: u, request: req.Bytes()}
			defer c.close()
			var mine []float64
			failed := 0
			for time.Now().Before(end) && ctx.Err() == nil && failed < 1000 {
				t := time.Now()
				if err := c.roundTrip(ctx); err != nil {
					failed++
					c.err = err
					continue
				}
				mine = append(mine, float64(time.Since(t).Microseconds())/1e3)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			bad += failed
			errs = append(errs, c.err)
		})
	}
	wg.Wait()
	if len(all) == 0 || bad > len(all)/1000 {
		return nil, fmt.Errorf("%s: %d answers, %d errors: %w", l.target, len(all), bad, errors.Join(errs...))
	}
	r := m.end(float64(len(all)), 0)
	sort.Float64s(all)
	r["p50_ms"], r["p99_ms"] = percentile(all, 50), percentile(all, 99)
	r["bad"] = float64(bad)
	return r, nil
}

type bareConn struct {
	url     *url.URL
	request []byte
	conn    net.Conn
	in      *bufio.Reader
	err     error // the last one
}

func (c *bareConn) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
}

func (c *bareConn) open(ctx context.Context) (err error) {
	if c.conn != nil {
		return nil
	}
	if c.url.Scheme == "https" {
		d := tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}}}
		c.conn, err = d.DialContext(ctx, "tcp", c.url.Host)
	} else {
		c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", c.url.Host)
	}
	if err == nil {
		c.in = bufio.NewReaderSize(c.conn, 4096)
	}
	return err
}

// roundTrip reads one header; a connection that failed is opened again by the next.
func (c *bareConn) roundTrip(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		c.close()
		return err
	}
	ok, closing := false, false
	for n := 0; ; n++ {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			c.close()
			return err
		}
		if n == 0 {
			ok = len(line) > 9 && line[9] == '2'
		} else if len(line) <= 2 {
			break
		} else if bytes.EqualFold(bytes.TrimSpace(line), []byte("connection: close")) {
			closing = true
		}
	}
	if closing || !ok {
		c.close()
	}
	if !ok {
		return errors.New("the status is not 2xx")
	}
	return nil
}

func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}
