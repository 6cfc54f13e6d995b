package attack

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

var storageHubs = newHubs()

// TestV30DiskGoneBad: bytes that have changed where they lie are not served as what they were.
func TestV30DiskGoneBad(t *testing.T) {
	storageHubs.on(t, func(t *testing.T, h *hub) {
		repo := h.project(t, "rotten", "private") + "/app"
		admin := h.admin()
		im := h.pushImage(t, admin, repo, "v1", makeImage(nil))
		flipped := 0
		h.files(t, func(name string, content []byte) {
			if !bytes.Equal(content, im.layer) {
				return
			}
			content[len(content)/2] ^= 1
			// In place: the hub may have the file open.
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write(content)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			flipped++
		})
		if flipped != 1 {
			t.Fatalf("the layer lies in %d files", flipped)
		}
		for range 2 {
			a := h.do(t, admin, "GET", blobPath(repo, digestOf(im.layer)), nil)
			if a.status < 500 {
				t.Errorf("a layer whose bytes have changed: %s", a)
			}
			a = h.do(t, admin, "GET", blobPath(repo, digestOf(im.layer)), nil, headers{"Range": "bytes=0-3"})
			if a.status < 500 {
				t.Errorf("a part of a layer whose bytes have changed: %s", a)
			}
		}
		h.do(t, admin, "GET", blobPath(repo, digestOf(im.config)), nil).want(t, "the config", 200)
		// Whoever pushes it again need not know, and afterwards it can be had again or is still refused.
		h.pushBlob(t, admin, repo, im.layer)
		a := h.do(t, admin, "GET", blobPath(repo, digestOf(im.layer)), nil)
		if a.status == 200 && !bytes.Equal(a.body, im.layer) {
			t.Errorf("after another push: %s", a)
		}
		if !strings.Contains(h.log.String(), digestOf(im.layer).String()) {
			t.Error("the log does not name the layer")
		}
	})
}

// TestV30DatabaseGoneBad: the same for a manifest, which lies in the database.
func TestV30DatabaseGoneBad(t *testing.T) {
	storageHubs.on(t, func(t *testing.T, h *hub) {
		repo := h.project(t, "swapped", "private") + "/app"
		admin := h.admin()
		im := h.pushImage(t, admin, repo, "v1", makeImage(nil))
		other := h.pushImage(t, admin, repo, "v2", makeImage(nil))
		d := h.open(t)
		for name, payload := range map[string][]byte{
			"another's":     other.manifest,
			"a changed one": bytes.Replace(im.manifest, []byte("layers"), []byte("Layers"), 1),
			"a part":        im.manifest[:20],
			"none":          {},
		} {
			if _, err := d.Pool().Exec(`UPDATE manifest SET payload = $1 WHERE digest = $2`, payload, im.digest.String()); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{"v1", im.digest.String()} {
				for _, method := range []string{"GET", "HEAD"} {
					if a := h.do(t, admin, method, manifestPath(repo, ref), nil); a.status < 500 {
						t.Errorf("%s %s with the payload of %s: %s", method, ref, name, a)
					}
				}
			}
		}
		a := h.do(t, admin, "GET", manifestPath(repo, "v2"), nil).want(t, "the other one", 200)
		if !bytes.Equal(a.body, other.manifest) {
			t.Errorf("the other one: %s", a)
		}
	})
}

// TestV58SameLayerAtOnce: many who push the same layer at the same time all succeed, and there is one blob afterwards.
func TestV58SameLayerAtOnce(t *testing.T) {
	storageHubs.on(t, func(t *testing.T, h *hub) {
		const pushers = 32
		size := 20 * mib
		if h.database != "sqlite" {
			size = 4 * mib // the bytes go the same way as before; this is about the rows
		}
		for name, repository := range map[string]func(i int) string{
			"one repository":  func(int) string { return "app" },
			"32 repositories": func(i int) string { return fmt.Sprintf("app%d", i) },
		} {
			t.Run(name, func(t *testing.T) {
				project := h.project(t, "rush", "private")
				content := bytes.Repeat(randomBytes(1<<10), size>>10)
				d := digest.FromBytes(content)
				p := h.newMember(t, project, "developer")
				var all sync.WaitGroup
				for i := range pushers {
					all.Go(func() {
						path := "/v2/" + project + "/" + repository(i) + "/blobs/uploads/?digest=" + d.String()
						if a, err := h.try(p, "POST", path, content); err != nil || a.status != 201 {
							t.Errorf("push %d: %v, %v", i, a, err)
						}
					})
				}
				all.Wait()
				for i := range pushers {
					a := h.do(t, p, "HEAD", blobPath(project+"/"+repository(i), d), nil).want(t, "stat", 200)
					if got := a.header.Get("Content-Length"); got != fmt.Sprint(size) {
						t.Errorf("repository %d: %s bytes", i, got)
					}
				}
				a := h.do(t, p, "GET", blobPath(project+"/"+repository(0), d), nil).want(t, "pull", 200)
				if !bytes.Equal(a.body, content) {
					t.Error("the pulled bytes are others")
				}
				var rows, usage int64
				database := h.open(t)
				if err := database.QueryRow(t.Context(), `SELECT count(*) FROM blob WHERE digest = $1`, d.String()).Scan(&rows); err != nil || rows != 1 {
					t.Errorf("%d blobs, %v", rows, err)
				}
				if err := database.QueryRow(t.Context(), `SELECT sum(size) FROM project_blob WHERE digest = $1`, d.String()).Scan(&usage); err != nil || usage != int64(size) {
					t.Errorf("the project is charged %d bytes, %v", usage, err)
				}
			})
		}
	})
}
