package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	oci "github.com/hallmarkhub/hallmark/registry"
)

const (
	bundles     = 1000             // of which is measured what verifying them takes
	anew        = 50               // decisions that are measured
	largeBundle = 16<<20 - 4096    // with its manifest's config it is just small enough to count
	patience    = 30 * time.Second // of pushing what is only there to be in the way
)

// besides measures what it takes to verify signatures, first reads of images, and reads beside much that was pushed.
func (b *bench) besides(guest *client, i *signedImage) error {
	if err := b.hub.setBaseline(b.ctx, "enforce"); err != nil {
		return err
	}
	images, err := b.bundles(i)
	if err != nil {
		return err
	}
	if err := b.first(guest, i, images); err != nil {
		return err
	}
	if err := b.anew(guest, i, "anew"); err != nil {
		return err
	}
	if err := b.largeBundle(i); err != nil {
		return err
	}
	for what, manifest := range map[string]func(n int) []byte{
		"referrers": func(n int) []byte { return i.about(i.manifest, i.content, strconv.Itoa(n)) },
		"images":    func(n int) []byte { return i.another("beside " + strconv.Itoa(n)) },
	} {
		done, err := parallel(*beside, *conc, min(*limit, patience), func(n int) error {
			m := manifest(n)
			return b.c.putManifest(b.ctx, i.repo, digestOf(m), m)
		})
		if err != nil {
			return err
		}
		if done < *beside {
			emit(record{Test: "gate", Note: fmt.Sprintf("%d of %d %s after %s", done, *beside, what, min(*limit, patience))})
		}
	}
	if err := b.anew(guest, i, "anew-beside"); err != nil {
		return err
	}
	return b.warm(guest, i, "-beside", *dur/2, "tag-get", "blob-1k")
}

// bundles pushes images, then the signature of each, and before that as much that has the same bytes and is about nothing:
// the difference is what reading, verifying and noting the signatures took.
func (b *bench) bundles(i *signedImage) (images [][]byte, err error) {
	for n := range bundles {
		images = append(images, i.another(strconv.Itoa(n)))
	}
	if _, err := parallel(bundles, *conc, *limit, func(n int) error { return b.c.putManifest(b.ctx, i.repo, digestOf(images[n]), images[n]) }); err != nil {
		return nil, err
	}
	took := map[string]float64{}
	for _, kind := range []struct {
		test     string
		manifest func(n int, content []byte) []byte
	}{
		{"plain", func(n int, c []byte) []byte {
			return manifestBytes(i.config, []desc{{mtLayer, digestOf(c), int64(len(c))}})
		}},
		{"bundle", func(n int, c []byte) []byte {
			return i.about(images[n], desc{mtBundle, digestOf(c), int64(len(c))}, "")
		}},
	} {
		content := make([][]byte, bundles)
		for n := range content {
			content[n] = i.bundle(images[n], signertest.PredicateSign, map[string]any{})
		}
		b.c.forget()
		before := b.pids.nanos()
		n, err := parallel(bundles, *conc, *limit, func(n int) error {
			if _, err := b.c.putBytes(b.ctx, i.repo, content[n], modePut); err != nil {
				return err
			}
			m := kind.manifest(n, content[n])
			return b.c.putManifest(b.ctx, i.repo, digestOf(m), m)
		})
		if err == nil && n < bundles {
			err = fmt.Errorf("%d of %d signatures after %s", n, bundles, *limit)
		}
		if err != nil {
			return nil, err
		}
		took[kind.test] = (b.pids.nanos() - before) / 1e9
		emit(record{Test: "push-1000-" + kind.test, Run: 1, M: map[string]float64{"cpu_s": took[kind.test]}})
	}
	emit(record{Test: "note-1000", Run: 1, M: map[string]float64{"cpu_s": took["bundle"] - took["plain"]}})
	return images, b.verify(i, images)
}

// verify does in this process what the hub does with the bytes of bundles: it reads and verifies them, with eight keys
// registered of which the last one signed.
func (b *bench) verify(i *signedImage, images [][]byte) error {
	var keys []*trust.Key
	for n := range 8 {
		signer := i.signer
		if n < 7 {
			signer = signertest.New()
		}
		key, err := trust.ParseKey([]byte(signer.PEM))
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	type pushed struct {
		manifest *oci.ParsedManifest
		content  []byte
	}
	var all []pushed
	for _, image := range images {
		content := i.bundle(image, signertest.PredicateSign, map[string]any{})
		m, err := oci.ParseManifest(mtManifest, i.about(image, desc{mtBundle, digestOf(content), int64(len(content))}, ""), oci.ManifestLimits{})
		if err != nil {
			return err
		}
		all = append(all, pushed{m, content})
	}
	v := trust.NewVerifier(keys, nil)
	for run := 1; run <= *runs; run++ {
		runtime.GC()
		before, err := ownCPU()
		if err != nil {
			return err
		}
		for n := range all {
			items, err := trust.Read(b.ctx, "sha256:carrier", all[n].manifest, func(context.Context, digest.Digest) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(all[n].content)), nil
			})
			if err != nil {
				return err
			}
			if found, err := v.Verify(b.ctx, items); err != nil || len(found) != 1 || found[0].Signer == nil {
				return fmt.Errorf("a bundle does not verify: %+v %w", found, err)
			}
		}
		after, err := ownCPU()
		if err != nil {
			return err
		}
		emit(record{Test: "verify-1000", Run: run, M: map[string]float64{"cpu_s": after - before}})
	}
	return nil
}

// ownCPU is the processor time of this process, in seconds.
func ownCPU() (float64, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, err
}

// first reads images that nobody has read before, half of them with the gate off and half with it on, in turn.
func (b *bench) first(guest *client, i *signedImage, images [][]byte) error {
	sum := map[string]float64{}
	const turn = 50
	for from := 0; from+turn <= len(images); from += turn {
		baseline := []string{"off", "enforce"}[from/turn%2]
		if err := b.hub.setBaseline(b.ctx, baseline); err != nil {
			return err
		}
		// What holds in the project is known: that is not read for each image.
		if err := b.get(guest, i.repo, i.manifest); err != nil {
			return err
		}
		before := b.pids.nanos()
		for _, m := range images[from : from+turn] {
			if err := b.get(guest, i.repo, m); err != nil {
				return err
			}
		}
		sum[baseline] += b.pids.nanos() - before
	}
	each := float64(len(images)/2) * 1e3
	emit(record{Test: "first@gate-off", Run: 1, M: map[string]float64{"cpu_us_op": sum["off"] / each}})
	emit(record{Test: "first@gate-enforce", Run: 1, M: map[string]float64{"cpu_us_op": sum["enforce"] / each, "of_off": sum["enforce"] / sum["off"]}})
	return b.hub.setBaseline(b.ctx, "enforce")
}

func (b *bench) get(c *client, repo string, manifest []byte) error {
	_, err := c.expect(b.ctx, 200, "GET", "/v2/"+repo+"/manifests/"+digestOf(manifest), scopePull(repo), map[string]string{"Accept": mtManifest}, nil, 0)
	return err
}

// anew reads an image again and again after something was pushed beside it, which ends what was decided before.
func (b *bench) anew(guest *client, i *signedImage, test string) error {
	var took []float64
	for n := range anew {
		m := i.another(test + strconv.Itoa(n))
		if err := b.c.putManifest(b.ctx, i.repo, digestOf(m), m); err != nil {
			return err
		}
		before := b.pids.nanos()
		if err := b.get(guest, i.repo, i.manifest); err != nil {
			return err
		}
		took = append(took, (b.pids.nanos()-before)/1e3)
	}
	emit(record{Test: test, Run: 1, M: map[string]float64{"cpu_us_op": median(took)}})
	return nil
}

// largeBundle pushes an SBOM as large as one may be.
func (b *bench) largeBundle(i *signedImage) error {
	predicate := map[string]string{"spdxVersion": "SPDX-2.3", "pad": strings.Repeat("x", largeBundle/4*3-4096)} // base64 makes four of three
	content := i.bundle(i.manifest, "https://spdx.dev/Document", predicate)
	m := i.about(i.manifest, desc{mtBundle, digestOf(content), int64(len(content))}, "")
	if _, err := b.c.putBytes(b.ctx, i.repo, content, modePut); err != nil {
		return err
	}
	meter := b.pids.begin().watchAnon()
	if err := b.c.putManifest(b.ctx, i.repo, digestOf(m), m); err != nil {
		return err
	}
	emit(record{Test: "large-bundle", Run: 1, M: meter.end(1, 0)})
	return nil
}
