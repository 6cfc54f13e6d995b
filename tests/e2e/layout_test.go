//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// sameBlobs asserts that every blob of the wanted OCI layout is in the other one, and
// that all the other one has hashes to its name.
func (c *cli) sameBlobs(want, got string) {
	c.t.Helper()
	names, err := os.ReadDir(filepath.Join(want, "blobs", "sha256"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(got, "blobs", "sha256", name.Name())); err != nil {
			c.t.Errorf("blob did not come back: %v", err)
		}
	}
	names, err = os.ReadDir(filepath.Join(got, "blobs", "sha256"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		raw := c.read(filepath.Join(got, "blobs", "sha256", name.Name()))
		if sum := sha256Of(raw); sum != "sha256:"+name.Name() {
			c.t.Errorf("blob %s came back as %s", name.Name(), sum)
		}
	}
}

// fileOfTar returns one file of an archive.
func fileOfTar(raw []byte, name string) ([]byte, error) {
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		header, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", name, err)
		}
		if strings.TrimPrefix(header.Name, "./") == name {
			return io.ReadAll(r)
		}
	}
}
