package vulndb

import (
	"testing"
	"time"

	"github.com/aquasecurity/trivy-java-db/pkg/db"
	_ "modernc.org/sqlite" // its driver
)

// BuildJava makes an index of Java archives in dir, an empty one: what describes itself needs no entry.
func BuildJava(t testing.TB, dir string, at time.Time) {
	t.Helper()
	d, err := db.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	c := db.NewMetadata(dir)
	if err := c.Update(db.Metadata{Version: db.SchemaVersion, UpdatedAt: at, NextUpdate: at.Add(72 * time.Hour), DownloadedAt: at}); err != nil {
		t.Fatal(err)
	}
}
