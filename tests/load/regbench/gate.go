package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const (
	mtBundle = signertest.TypeBundle
	mtEmpty  = "application/vnd.oci.empty.v1+json"
)

// gate measures what the trust gate costs somebody who may only pull: the same reads of a signed image, one after the
// other with the gate off and on, so that what else the machine does meets both.
func (b *bench) gate() error {
	if b.hub == nil {
		return errNoHub
	}
	repo, paths, err := b.hub.pushSigned(b.ctx)
	if err != nil {
		return err
	}
	guest, err := b.hub.newUser(b.ctx)
	if err != nil {
		return err
	}
	if err := b.hub.join(b.ctx, guest); err != nil {
		return err
	}
	for i := 1; i <= *runs; i++ {
		for _, test := range []string{"tag-get", "digest-get", "blob-1k"} {
			off := 0.0
			for _, baseline := range []string{"off", "enforce"} {
				if err := b.hub.setBaseline(b.ctx, baseline); err != nil {
					return err
				}
				m, err := b.readAs(guest.client, repo, paths[test])
				if err != nil {
					return fmt.Errorf("%s, baseline %s: %w", test, baseline, err)
				}
				if baseline == "off" {
					off = m["cpu_us_op"]
				} else if off > 0 {
					m["of_off"] = m["cpu_us_op"] / off
				}
				emit(record{Test: test + "@gate-" + baseline, Run: i, M: m})
			}
		}
	}
	return nil
}

func (b *bench) readAs(c *client, repo, path string) (map[string]float64, error) {
	target := "/v2/" + repo + path
	// Decides once, and a wrong answer ends the test before it is measured.
	if _, err := c.expect(b.ctx, 200, "GET", target, scopePull(repo), map[string]string{"Accept": mtManifest}, nil, 0); err != nil {
		return nil, err
	}
	headers, err := b.headers(c, scopePull(repo))
	if err != nil {
		return nil, err
	}
	if strings.Contains(path, "/manifests/") {
		headers = append(headers, "Accept: "+mtManifest)
	}
	return b.pids.wrk(b.ctx, load{method: "GET", target: c.base + target, headers: headers, conns: *conns, dur: *dur})
}

// must sends a request to the admin API that has to succeed.
func (h *hub) must(ctx context.Context, method, path string, v any) error {
	resp, err := h.call(ctx, method, path, map[string]string{"If-Match": "*"}, v)
	if err == nil && resp.code >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.status, resp.body)
	}
	return err
}

func (h *hub) setBaseline(ctx context.Context, mode string) error {
	return h.must(ctx, "PATCH", "/projects/"+h.project, map[string]string{"baseline": mode})
}

// pushSigned pushes an image with one layer of 1 KiB and its signature, by a key that it registers. paths are those of
// its parts, by test.
func (h *hub) pushSigned(ctx context.Context) (repo string, paths map[string]string, err error) {
	repo = *prefix + "signed"
	put := func(mediaType string, content []byte) desc {
		if _, e := h.c.putBytes(ctx, repo, content, modePut); e != nil && err == nil {
			err = e
		}
		return desc{mediaType, digestOf(content), int64(len(content))}
	}
	layer := randBytes(*seedRun, 1<<10)
	m := manifestBytes(put(mtConfig, configBytes("signed")), []desc{put(mtLayer, layer)})
	signer := signertest.New()
	bundle := signer.Bundle(digest.Digest(digestOf(m)), signertest.PredicateSign, map[string]any{})
	signature, e := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mtManifest, "artifactType": mtBundle, "config": put(mtEmpty, []byte("{}")),
		"layers": []desc{put(mtBundle, bundle)}, "subject": desc{mtManifest, digestOf(m), int64(len(m))},
	})
	if err == nil {
		err = e
	}
	for ref, content := range map[string][]byte{"latest": m, digestOf(signature): signature} {
		if err == nil {
			err = h.c.putManifest(ctx, repo, ref, content)
		}
	}
	if err == nil {
		err = h.must(ctx, "PUT", "/projects/"+h.project+"/authorities/bench-"+digestOf([]byte(signer.PEM))[7:19], map[string]string{"public_key": signer.PEM})
	}
	return repo, map[string]string{"tag-get": "/manifests/latest", "digest-get": "/manifests/" + digestOf(m), "blob-1k": "/blobs/" + digestOf(layer)}, err
}
