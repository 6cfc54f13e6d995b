package remote_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// moving plays a registry whose upload has another address after each answer, and which takes bytes at the newest only.
type moving struct {
	data  []byte
	moves int
	lose  int // so many bytes of the next part are taken before the connection breaks
}

func (m *moving) serve(w http.ResponseWriter, r *http.Request) {
	here := fmt.Sprintf("/v2/up/%d", m.moves)
	if r.Method != http.MethodPost && r.Method != http.MethodGet && r.URL.Path != here {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if m.lose > 0 && len(body) > 0 {
		m.data = append(m.data, body[:m.lose]...)
		m.lose = 0
		m.moves++
		w.WriteHeader(statusBroken)
		return
	}
	m.data = append(m.data, body...)
	m.moves++
	w.Header().Set("Location", fmt.Sprintf("/v2/up/%d?state=%d", m.moves, m.moves))
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(m.data)-1)))
	status := map[string]int{"POST": 202, "GET": 204, "PATCH": 202, "PUT": 201}[r.Method]
	if r.Method == http.MethodPut && r.URL.Query().Get("digest") != digest.FromBytes(m.data).String() {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
}

func TestUploadGoesOnWhereTheRegistrySays(t *testing.T) {
	m := &moving{}
	r := played(t, m.serve)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < 5000; at += 1000 {
		if u, err = r.AppendUpload(t.Context(), repo, u.ID, int64(at), bytes.NewReader(data[at:at+1000])); err != nil {
			t.Fatal(err)
		}
	}
	size, err := r.FinishUpload(t.Context(), repo, u.ID, 5000, once{strings.NewReader(string(data[5000:]))}, digest.FromBytes(data))
	if err != nil || size != int64(len(data)) {
		t.Fatalf("%d bytes, %v", size, err)
	}
}

// When a part breaks off on its way, the registry is asked what it has before anything else is sent.
func TestUploadThatBrokeGoesOnAtWhatArrived(t *testing.T) {
	m := &moving{lose: 700}
	r := played(t, m.serve)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.AppendUpload(t.Context(), repo, u.ID, 0, bytes.NewReader(data))
	wantCode(t, err, registry.CodeUnavailable)
	u, err = r.AppendUpload(t.Context(), repo, u.ID, 0, bytes.NewReader(data))
	wantCode(t, err, registry.CodeRangeInvalid)
	if u.Size != 700 {
		t.Fatalf("the upload is said to stand at %d, want 700", u.Size)
	}
	if _, err := r.FinishUpload(t.Context(), repo, u.ID, 700, bytes.NewReader(data[700:]), digest.FromBytes(data)); err != nil {
		t.Fatal(err)
	}
}

// Somebody else wrote to the same upload: the registry refuses, and says where it stands.
func TestUploadThatMovedIsAskedFor(t *testing.T) {
	m := &moving{}
	r := played(t, m.serve)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	m.data = []byte("from elsewhere")
	m.moves += 3
	u, err = r.AppendUpload(t.Context(), repo, u.ID, -1, strings.NewReader("x"))
	wantCode(t, err, registry.CodeRangeInvalid)
	if u.Size != int64(len(m.data)) {
		t.Fatalf("the upload is said to stand at %d, want %d", u.Size, len(m.data))
	}
}

// An id is a name in this process. It says nothing about the other side, and leads to nothing else there.
func TestUploadIDsAreOurOwn(t *testing.T) {
	m := &moving{}
	r := played(t, m.serve)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(u.ID, "/") || strings.Contains(u.ID, "up") || len(u.ID) < 20 {
		t.Fatalf("the id is %q", u.ID)
	}
	_, err = played(t, m.serve).Upload(t.Context(), repo, u.ID)
	wantCode(t, err, registry.CodeBlobUploadUnknown)
}
