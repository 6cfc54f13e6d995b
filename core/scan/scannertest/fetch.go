package scannertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const fetchTime = 10 * time.Second

// fetch reads a manifest and everything it names, as a scanner does.
func (s *Scan) fetch(ctx context.Context) error {
	body, err := s.Get(ctx, "manifests/"+s.Artifact.Digest)
	if err != nil {
		return err
	}
	type descriptor struct{ Digest string }
	var m struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		if _, err := s.Get(ctx, "blobs/"+d.Digest); err != nil {
			return err
		}
	}
	return nil
}

// Get reads something of the repository of a scan with what the scan was given.
func (s *Scan) Get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Registry.URL+"/v2/"+s.Artifact.Repository+"/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", s.Registry.Authorization)
	r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	answer, err := (&http.Client{Timeout: fetchTime}).Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return body, err
}
