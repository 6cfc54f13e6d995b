package driver_test

import (
	"testing"

	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/blobtest"
	"github.com/hallmarkhub/hallmark/registry/blob/driver"
	"github.com/hallmarkhub/hallmark/tests/s3test"
)

func open(t testing.TB, address string) *driver.Store {
	t.Helper()
	s, err := driver.Open(t.Context(), address, driver.Options{UserAgent: "hallmark-test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContractOnFilesystem(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) func() blob.Store {
		address := "distfs://" + t.TempDir() + "/blobs?chunksize=5242880"
		return func() blob.Store { return open(t, address) }
	})
}

func TestContractOnS3(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) func() blob.Store {
		address := s3test.Start(t) + "&chunksize=5242880"
		return func() blob.Store { return open(t, address) }
	})
}
