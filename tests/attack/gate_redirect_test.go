package attack

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/tests/s3test"
)

// onS3 starts a hub that sends who pulls to signed addresses of an object store.
func onS3(t *testing.T) *hub {
	t.Helper()
	store := s3test.Start(t)
	h := startHub(t, "sqlite", []string{"HALLMARK_BASELINE=enforce", "HALLMARK_BLOBS=" + store + "&redirect=true",
		"AWS_ACCESS_KEY_ID=" + os.Getenv("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY=" + os.Getenv("AWS_SECRET_ACCESS_KEY"), "AWS_EC2_METADATA_DISABLED=true"}, nil)
	t.Cleanup(func() { // while the store is there
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// largeImage has a layer that is too large to be answered from memory.
func largeImage() image {
	layer := bytes.Repeat([]byte(random(32)), 3<<10)
	im := makeImage(map[string]any{"layers": []descriptor{{typeLayer, digest.FromBytes(layer), len(layer)}}})
	im.layer = layer
	return im
}

// fetch follows an address as it is, without any credentials.
func fetch(t *testing.T, method, address string, header headers) *answer {
	t.Helper()
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestV43SignedAddresses: an address in the object store is handed out after the decision, is good for one blob and for a
// minute at most.
func TestV43SignedAddresses(t *testing.T) {
	h := onS3(t)
	g := h.gated(t)
	good, bad := g.pushImage(t, g.admin(), g.repo, "good", largeImage()), g.pushImage(t, g.admin(), g.repo, "bad", largeImage())
	signature := g.attach(t, g.admin(), g.repo, good.digest, g.key.Bundle(good.digest, predicateSign, map[string]any{}))
	layer, refused := blobPath(g.repo, digestOf(good.layer)), blobPath(g.repo, digestOf(bad.layer))
	pusher := h.newMember(t, g.project, "developer")
	ways := []headers{nil, {"Range": "bytes=0-0"}, {"Range": "bytes=5-"}, {"Range": "bytes=-1"}, {"If-None-Match": `"x"`}}

	none := func(what string, who who, method, path string, way headers) {
		t.Helper()
		a := h.do(t, who, method, path, nil, way)
		if a.status != 403 && (who.name != pusher.name || method != "HEAD") {
			t.Errorf("%s: %s with %v: %s", what, method, way, a)
		}
		if a.header.Get("Location") != "" || bytes.Contains(a.body, []byte("X-Amz")) || strings.Contains(fmt.Sprint(a.header), "X-Amz") {
			t.Errorf("%s: %s with %v gives an address: %v %s", what, method, way, a.header, a)
		}
	}
	for _, way := range ways {
		for _, method := range []string{"GET", "HEAD"} {
			none("a refused image's layer", g.guest, method, refused, way)
			none("a refused image's layer, for who pushes", pusher, method, refused, way)
		}
	}

	a := h.do(t, g.guest, "GET", layer, nil).want(t, "the layer of a signed image", 307)
	address := a.header.Get("Location")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if life, err := strconv.Atoi(u.Query().Get("X-Amz-Expires")); err != nil || life < 1 || life > 60 {
		t.Errorf("the address is good for %q seconds", u.Query().Get("X-Amz-Expires"))
	}
	if got := a.header.Get("Docker-Content-Digest"); got != digestOf(good.layer).String() {
		t.Errorf("it names %s", got)
	}
	if got := fetch(t, "GET", address, nil); got.status != 200 || !bytes.Equal(got.body, good.layer) {
		t.Errorf("what lies there: %d, %d bytes", got.status, len(got.body))
	}
	h.do(t, g.guest, "GET", layer, nil, headers{"Range": "bytes=2-5"}).want(t, "a part of it", 307)
	if got := fetch(t, "GET", address, headers{"Range": "bytes=2-5"}); got.status != 206 || !bytes.Equal(got.body, good.layer[2:6]) {
		t.Errorf("a part: %s", got)
	}
	head := h.do(t, g.guest, "HEAD", layer, nil).want(t, "HEAD of it", 200)
	if head.header.Get("Location") != "" || head.header.Get("Content-Length") != strconv.Itoa(len(good.layer)) {
		t.Errorf("HEAD says %v", head.header)
	}

	// It is signed for this blob, for reading it: nothing else is had by changing it.
	open := h.ungated(t) + "/app"
	other := h.pushImage(t, h.admin(), open, "v1", largeImage())
	elsewhere := h.do(t, h.admin(), "GET", blobPath(open, digestOf(other.layer)), nil).want(t, "a layer that nothing is asked for", 307).header.Get("Location")
	v, err := url.Parse(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	moved := *u
	moved.Path = v.Path
	longer := *u
	query := longer.Query()
	query.Set("X-Amz-Expires", "86400")
	longer.RawQuery = query.Encode()
	bare := *u
	bare.RawQuery = ""
	for what, address := range map[string]string{"another blob": moved.String(), "a longer life": longer.String(), "without signature": bare.String()} {
		if got := fetch(t, "GET", address, nil); got.status < 400 || bytes.Contains(got.body, good.layer) || bytes.Contains(got.body, other.layer) {
			t.Errorf("%s: %d", what, got.status)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		if got := fetch(t, method, address, nil); got.status < 400 {
			t.Errorf("%s is allowed by it: %d", method, got.status)
		}
	}

	// It comes after the decision, each time.
	h.do(t, g.admin(), "DELETE", manifestPath(g.repo, signature.String()), nil).want(t, "delete the signature", 202)
	for _, way := range ways {
		for _, method := range []string{"GET", "HEAD"} {
			none("the layer, once its signature is deleted", g.guest, method, layer, way)
		}
	}
}
