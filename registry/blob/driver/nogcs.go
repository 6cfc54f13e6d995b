//go:build !gcs

package driver

import (
	"context"
	"errors"
	"net/url"
)

// openGCS stands in for the driver, which adds much to build time and binary.
func openGCS(context.Context, *url.URL, *settings, Options) (kind, error) {
	return kind{}, errors.New("this binary was built without Google Cloud Storage; build it with -tags gcs")
}
