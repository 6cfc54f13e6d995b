//go:build azure

package driver

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"

	"github.com/distribution/distribution/v3/registry/storage/driver/azure"
)

// openAzure serves azure://account/container/prefix?realm=core.windows.net, with the key of the account from
// AZURE_STORAGE_KEY, or else the default Azure credentials. Redirects are not supported.
//
// Uploads are append blobs, which can be read while they grow, so each Open asks once more whether the upload ended.
func openAzure(ctx context.Context, u *url.URL, query *settings, _ Options) (kind, error) {
	container, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if u.Host == "" || container == "" {
		return kind{}, errors.New("want azure://account/container/prefix")
	}
	credentials := map[string]any{"type": azure.CredentialsTypeDefault}
	key := os.Getenv("AZURE_STORAGE_KEY")
	if key != "" {
		credentials["type"] = azure.CredentialsTypeSharedKey
	}
	params, err := azure.NewParameters(map[string]any{
		"accountname":   u.Host,
		"accountkey":    key,
		"credentials":   credentials,
		"container":     container,
		"rootdirectory": prefix,
		"realm":         query.text("realm", "core.windows.net"),
	})
	if err != nil {
		return kind{}, err
	}
	d, err := azure.New(ctx, params)
	return kind{StorageDriver: d, marked: true}, err
}
