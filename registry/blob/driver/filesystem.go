package driver

import (
	"context"
	"errors"
	"net/url"

	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// openFilesystem serves distfs:///directory, for trees that have to stay with distribution's own driver. It syncs
// files but not directories, so a power loss can take a commit back: registry/blob/disk is the store for a local disk.
func openFilesystem(_ context.Context, u *url.URL, _ *settings, _ Options) (kind, error) {
	if u.Host != "" || len(u.Path) < 2 {
		return kind{}, errors.New("want distfs:///directory")
	}
	d := filesystem.New(filesystem.DriverParameters{RootDirectory: u.Path, MaxThreads: 100})
	return kind{StorageDriver: d, marked: true}, nil
}
