//go:build !azure

package driver

import (
	"context"
	"errors"
	"net/url"
)

// openAzure stands in for the driver, which adds much to build time and binary.
func openAzure(context.Context, *url.URL, *settings, Options) (kind, error) {
	return kind{}, errors.New("this binary was built without Azure Blob Storage; build it with -tags azure")
}
