package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const (
	mtBundle = signertest.TypeBundle
	mtEmpty  = "application/vnd.oci.empty.v1+json"
)

// gate measures what the trust gate costs somebody who may only pull: the same reads of a signed image, one after the
// other with the gate off and on, so that what else the machine does meets both; then again beside much else that was pushed.
func (b *bench) gate() error {
	if b.hub == nil {
		return errNoHub
	}
	i, err := b.hub.pushSigned(b.ctx)
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
	if err := b.warm(guest.client, i, "", *dur, "tag-get", "digest-get", "tag-head", "blob-1k"); err != nil {
		return err
	}
	return b.besides(guest.client, i)
}

// warm loads an image that was read before, with the gate off and on in turn.
func (b *bench) warm(guest *client, i *signedImage, suffix string, dur time.Duration, tests ...string) error {
	for run := 1; run <= *runs; run++ {
		for _, test := range tests {
			off := 0.0
			for _, baseline := range []string{"off", "enforce"} {
				if err := b.hub.setBaseline(b.ctx, baseline); err != nil {
					return err
				}
				m, err := b.readAs(guest, i, test, dur)
				if err != nil {
					return fmt.Errorf("%s, baseline %s: %w", test, baseline, err)
				}
				if baseline == "off" {
					off = m["cpu_us_op"]
				} else if off > 0 {
					m["of_off"] = m["cpu_us_op"] / off
				}
				emit(record{Test: test + suffix + "@gate-" + baseline, Run: run, M: m})
			}
		}
	}
	return nil
}

func (b *bench) readAs(c *client, i *signedImage, test string, dur time.Duration) (map[string]float64, error) {
	path := i.path(test)
	target := "/v2/" + i.repo + path
	// Decides once, and a wrong answer ends the test before it is measured.
	if _, err := c.expect(b.ctx, 200, "GET", target, scopePull(i.repo), map[string]string{"Accept": mtManifest}, nil, 0); err != nil {
		return nil, err
	}
	headers, err := b.headers(c, scopePull(i.repo))
	if err != nil {
		return nil, err
	}
	if strings.Contains(path, "/manifests/") {
		headers = append(headers, "Accept: "+mtManifest)
	}
	l := load{method: "GET", target: c.base + target, headers: headers, conns: *conns, dur: dur}
	if test == "tag-head" {
		l.method = "HEAD"
		return b.pids.bare(b.ctx, l)
	}
	return b.pids.wrk(b.ctx, l)
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

// signedImage is an image with one layer of 1 KiB, and what its signature is made of.
type signedImage struct {
	repo                          string
	manifest                      []byte
	config, layer, empty, content desc
	signer                        *signertest.Signer
}

func (i *signedImage) path(test string) string {
	switch test {
	case "digest-get":
		return "/manifests/" + digestOf(i.manifest)
	case "blob-1k":
		return "/blobs/" + i.layer.Digest
	}
	return "/manifests/latest"
}

// pushSigned pushes an image and its signature, by a key that it registers.
func (h *hub) pushSigned(ctx context.Context) (*signedImage, error) {
	i := &signedImage{repo: *prefix + "signed", signer: signertest.New()}
	var failed error
	put := func(mediaType string, content []byte) desc {
		_, err := h.c.putBytes(ctx, i.repo, content, modePut)
		failed = errors.Join(failed, err)
		return desc{mediaType, digestOf(content), int64(len(content))}
	}
	i.config, i.layer, i.empty = put(mtConfig, configBytes("signed")), put(mtLayer, randBytes(*seedRun, 1<<10)), put(mtEmpty, []byte("{}"))
	i.manifest = manifestBytes(i.config, []desc{i.layer})
	i.content = put(mtBundle, i.bundle(i.manifest, signertest.PredicateSign, map[string]any{}))
	signature := i.about(i.manifest, i.content, "")
	failed = errors.Join(failed,
		h.must(ctx, "PUT", "/projects/"+h.project+"/authorities/bench-"+digestOf([]byte(i.signer.PEM))[7:19], map[string]string{"public_key": i.signer.PEM}),
		h.c.putManifest(ctx, i.repo, "latest", i.manifest), h.c.putManifest(ctx, i.repo, digestOf(signature), signature))
	return i, failed
}

func (i *signedImage) bundle(subject []byte, predicateType string, predicate any) []byte {
	return i.signer.Bundle(digest.Digest(digestOf(subject)), predicateType, predicate)
}

// about is a manifest that brings content about another one.
func (i *signedImage) about(subject []byte, content desc, note string) []byte {
	return must(json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mtManifest, "artifactType": content.MediaType, "config": i.empty, "layers": []desc{content},
		"subject": desc{mtManifest, digestOf(subject), int64(len(subject))}, "annotations": map[string]string{"note": note},
	}))
}

// another is an image of the same parts.
func (i *signedImage) another(note string) []byte {
	return must(json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mtManifest, "config": i.config, "layers": []desc{i.layer}, "annotations": map[string]string{"note": note},
	}))
}

// must is for what cannot fail.
func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
