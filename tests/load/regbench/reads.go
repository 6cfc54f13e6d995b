package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// read measures one of the read tests.
func (b *bench) read(test string) error {
	if err := b.prepareReads(); err != nil {
		return fmt.Errorf("pushing the read set: %w", err)
	}
	s := b.set
	path, ok := map[string]string{
		"tag-get": "/manifests/latest", "tag-head": "/manifests/latest", "digest-get": "/manifests/" + digestOf(s.manifest),
		"blob-1k": "/blobs/" + digestOf(s.b1k), "blob-1m": "/blobs/" + digestOf(s.b1m), "blob-256m": "/blobs/" + s.bigDigest,
		"blob-256m-x8": "/blobs/" + s.bigDigest,
	}[test]
	if !ok {
		return errors.New("there is no such test")
	}
	method := "GET"
	if test == "tag-head" {
		method = "HEAD"
	}
	target := "/v2/" + s.repo + path
	// Warms up, and a wrong answer ends the test before it is measured.
	if _, err := b.c.expect(b.ctx, 200, method, target, scopePull(s.repo), map[string]string{"Accept": mtManifest}, nil, 0); err != nil {
		return err
	}
	for i := 1; i <= *runs; i++ {
		headers, err := b.headers(b.c, scopePull(s.repo))
		if err != nil {
			return err
		}
		if strings.Contains(path, "/manifests/") {
			headers = append(headers, "Accept: "+mtManifest)
		}
		l := load{method: method, target: b.c.base + target, headers: headers, conns: *conns, dur: *dur}
		send := b.pids.wrk
		switch test {
		case "tag-head":
			send = b.pids.bare
		case "blob-256m":
			send = b.curl
		case "blob-256m-x8":
			l.conns = 8
		}
		m, err := send(b.ctx, l)
		if err != nil {
			return err
		}
		emit(record{Test: test, Run: i, M: m})
	}
	return nil
}

func (b *bench) prepareReads() (err error) {
	if b.set != nil {
		return nil
	}
	s, err := newReadSet()
	if err != nil {
		return err
	}
	_, err = b.c.expect(b.ctx, 200, "GET", "/v2/"+s.repo+"/manifests/latest", scopePull(s.repo), map[string]string{"Accept": mtManifest}, nil, 0)
	if err != nil {
		err = s.push(b.ctx, b.c)
	}
	if err == nil {
		b.set = s
	}
	return err
}

// headers are what a load needs to be let in.
func (b *bench) headers(c *client, scope string) ([]string, error) {
	a, err := c.authFor(b.ctx, scope)
	if err != nil || a == "" {
		return nil, err
	}
	return []string{"Authorization: " + a}, nil
}

// downloads is how many downloads of the big blob one run has.
const downloads = 6

// curl downloads in turn.
func (b *bench) curl(ctx context.Context, l load) (map[string]float64, error) {
	args := []string{"-sS", "-f"}
	for _, h := range l.headers {
		args = append(args, "-H", h)
	}
	for range downloads {
		args = append(args, "-o", "/dev/null", l.target)
	}
	m := b.pids.begin()
	if out, err := exec.CommandContext(ctx, "curl", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("curl: %w: %s", err, out)
	}
	return m.end(downloads, downloads*big256), nil
}
