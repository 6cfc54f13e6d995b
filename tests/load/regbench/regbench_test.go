package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBigBlobIsTheSameFromEveryOffset(t *testing.T) {
	b := newBigBlob(5)
	size := int64(len(b.block)) + 100
	whole, err := io.ReadAll(b.reader(0, size))
	if err != nil || int64(len(whole)) != size {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for _, off := range []int64{1, 7, 8, 9, size - 101, size - 100, size - 95, size - 1} {
		rest, err := io.ReadAll(b.reader(off, size-off))
		if err != nil || !bytes.Equal(rest, whole[off:]) {
			t.Errorf("from %d on the bytes differ (%v)", off, err)
		}
	}
	other, err := io.ReadAll(newBigBlob(6).reader(0, size))
	if err != nil || bytes.Equal(other[:8], whole[:8]) || bytes.Equal(other[size-100:size-92], whole[size-100:size-92]) {
		t.Errorf("another seed repeats the bytes (%v)", err)
	}
}

// registry answers like a token service and a registry that takes only the newest token.
type registry struct {
	issued int
	bodies []string
}

func (s *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		s.issued++
		fmt.Fprintf(w, `{"token":"t%d","expires_in":300}`, s.issued)
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", s.issued) || s.issued == 0 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="here"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(b))
}

func TestRefusedTokenIsFetchedAnew(t *testing.T) {
	s := &registry{}
	srv := httptest.NewServer(s)
	defer srv.Close()
	c := newClient(srv.URL, "", "")
	if err := c.probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	put := func() error {
		_, err := c.expect(t.Context(), 200, "PUT", "/v2/a", scopePush("a"), nil, bytes.NewReader([]byte("body")), 4)
		return err
	}
	if err := put(); err != nil || s.issued != 1 {
		t.Fatalf("%v after %d tokens", err, s.issued)
	}
	s.issued = 7 // as after a restart with other keys
	if err := put(); err != nil || s.issued != 8 {
		t.Fatalf("%v after %d tokens", err, s.issued)
	}
	if got := strings.Join(s.bodies, ","); got != "body,body" {
		t.Errorf("sent %q", got)
	}
}

func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.jsonl")
	lines := []string{
		`{"label":"nginx","test":"tag-get","run":1,"m":{"cpu_us_op":8}}`,
		`{"label":"floor","test":"tag-get","run":1,"m":{"cpu_us_op":10}}`,
		`{"label":"distribution","test":"tag-get","run":1,"m":{"cpu_us_op":200}}`,
		`{"label":"hallmark","test":"tag-get","run":1,"m":{"cpu_us_op":19}}`,
		`{"label":"hallmark","test":"tag-get","run":2,"m":{"cpu_us_op":30}}`,
		`{"label":"hallmark","test":"tag-get","run":3,"m":{"cpu_us_op":20}}`,
		`{"label":"hallmark","test":"push-small","run":1,"m":{"cpu_us_op":6000}}`,
		`{"label":"distribution","test":"blob-1m","run":1,"m":{"cpu_us_op":1200}}`,
		`{"label":"hallmark","test":"tags","run":0,"m":null,"note":"failed: no"}`,
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := table(&out, []string{file}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| GET manifest by tag, us | <= 25 | 10 / 8 | 200 | 20 (19–30) | 0.1 | 2 | holds |\n",
		"| push of a small image, ms | <= 4 |  |  | 6 |  |  | **misses** by 1.5 x |\n",
		"| GET blob 1 MiB, us | <= 200 |  | 1200 |  |  |  | not measured |\n",
		"1 targets hold, 1 are missed.",
		"- hallmark, tags: failed: no\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestEveryRowIsMeasured(t *testing.T) {
	known := map[string]bool{}
	for _, f := range figures {
		known[f] = true
	}
	for _, r := range targets {
		if !known[r.figure] || r.scale == 0 {
			t.Errorf("%s: figure %q, scale %v", r.name, r.figure, r.scale)
		}
	}
}
