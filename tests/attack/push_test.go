package attack

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
	typeDocker   = "application/vnd.docker.distribution.manifest.v2+json"
	typeList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// startUpload begins an upload and returns its path.
func (h *hub) startUpload(t testing.TB, p who, repo string) string {
	t.Helper()
	a := h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/", nil).want(t, "begin an upload", 202)
	return a.header.Get("Location")
}

// pushBlob pushes a blob in one POST.
func (h *hub) pushBlob(t testing.TB, p who, repo string, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content).want(t, "push a blob", 201)
	return d
}

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int           `json:"size"`
}

// image is the manifest of an image with one layer, and what it refers to.
type image struct {
	layer, config, manifest []byte
	digest                  digest.Digest
}

// makeImage makes an image that no other test has.
func makeImage(more map[string]any) image {
	im := image{layer: []byte("layer " + random(16)), config: []byte(`{"architecture":"amd64","os":"linux","seed":"` + random(8) + `"}`)}
	m := map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": descriptor{typeConfig, digest.FromBytes(im.config), len(im.config)},
		"layers": []descriptor{{typeLayer, digest.FromBytes(im.layer), len(im.layer)}},
	}
	for k, v := range more {
		m[k] = v
	}
	im.manifest, _ = json.Marshal(m) // strings and numbers
	im.digest = digest.FromBytes(im.manifest)
	return im
}

// pushImage pushes an image with a tag, or by digest if the tag is "".
func (h *hub) pushImage(t testing.TB, p who, repo, tag string, im image) image {
	t.Helper()
	h.pushBlob(t, p, repo, im.layer)
	h.pushBlob(t, p, repo, im.config)
	h.putManifest(t, p, repo, tag, typeManifest, im.manifest).want(t, "push a manifest", 201)
	return im
}

func (h *hub) putManifest(t testing.TB, p who, repo, ref, mediaType string, manifest []byte) *answer {
	t.Helper()
	if ref == "" {
		ref = digest.FromBytes(manifest).String()
	}
	return h.do(t, p, "PUT", "/v2/"+repo+"/manifests/"+ref, manifest, headers{"Content-Type": mediaType})
}

// newImage pushes a new image with the tag v1 as the administrator.
func (h *hub) newImage(t testing.TB, repo string) image {
	t.Helper()
	return h.pushImage(t, h.admin(), repo, "v1", makeImage(nil))
}

func manifestPath(repo, ref string) string { return "/v2/" + repo + "/manifests/" + ref }

func blobPath(repo string, d digest.Digest) string { return "/v2/" + repo + "/blobs/" + d.String() }

// uploadID is the last part of an upload's path.
func uploadID(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func digestOf(content []byte) digest.Digest { return digest.FromBytes(content) }
