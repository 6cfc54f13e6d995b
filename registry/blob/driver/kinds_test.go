package driver

import (
	"strings"
	"testing"
)

func TestOpenRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"ftp://host/dir":  "unknown scheme",
		"/var/lib/blobs":  "unknown scheme",
		"s3://bucket":     "want s3://",
		"s3:///prefix":    "want s3://",
		"distfs://host/x": "want distfs:///",
		"distfs:///":      "want distfs:///",
		"s3://key:secret@bucket/x?region=us-east-1":       "credentials do not belong",
		"s3://key:secret%zz@bucket/x":                     "malformed URL",
		"s3://bucket?region=us-east-1&regoin=eu":          `unknown setting "regoin"`,
		"s3://bucket?region=us-east-1&redirect=perhaps":   "redirect must be true or false",
		"s3://bucket?region=us-east-1&chunksize=1048576":  "chunksize 1048576 is not",
		"s3://bucket?region=us-east-1&chunksize=six":      "chunksize must be a number",
		"s3://bucket?region=us-east-1&chunksize=10485761": "chunksize 10485761 is not",
	} {
		_, err := Open(t.Context(), address, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s): %v, want %q", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%s) repeats the secret: %v", address, err)
		}
	}
}
