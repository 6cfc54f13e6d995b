//go:build gcs

package driver

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"cloud.google.com/go/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/gcs"
)

// openGCS serves gs://bucket/prefix?chunksize=.. with the application default credentials. Redirects are not
// supported: distribution's driver would sign them for 20 minutes.
func openGCS(ctx context.Context, u *url.URL, query *settings, opt Options) (kind, error) {
	if u.Host == "" {
		return kind{}, errors.New("want gs://bucket/prefix")
	}
	d, err := gcs.FromParameters(ctx, map[string]any{
		"bucket":        u.Host,
		"rootdirectory": strings.Trim(u.Path, "/"),
		"chunksize":     query.part,
		"useragent":     opt.UserAgent,
	})
	// It appends to, and cancels, committed objects as readily as unfinished ones.
	return kind{StorageDriver: d, marked: true, missing: func(err error) bool {
		var wrapped storagedriver.Error // has no Unwrap
		return errors.As(err, &wrapped) && errors.Is(wrapped.Detail, storage.ErrObjectNotExist)
	}}, err
}
