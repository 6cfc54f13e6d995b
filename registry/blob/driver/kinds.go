package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// kind is one of distribution's drivers, opened, with what we have to know of it beyond its interface.
type kind struct {
	storagedriver.StorageDriver

	// marked says that the driver does not keep apart what is being written and what has been committed (a file or
	// an append blob grows under its own path). Then the record of the upload tells: it is there from Create until
	// the end of Commit, and while it is, nothing is readable under the key.
	marked bool

	// missing recognises what this driver says, beside PathNotFoundError, when there is nothing to append to.
	missing func(error) bool

	// sign makes an address of path that is good for ttl; nil if redirects are off or the driver has none.
	sign func(path string, ttl time.Duration) (string, error)
}

// opener opens a driver for a URL whose query it consumes: what is left over was misspelt.
type opener func(ctx context.Context, u *url.URL, query *settings, opt Options) (kind, error)

// kinds are the schemes of Open.
func kinds() map[string]opener {
	return map[string]opener{
		"s3":     openS3,
		"distfs": openFilesystem,
		"gs":     openGCS,
		"azure":  openAzure,
	}
}

func openKind(ctx context.Context, address string, opt Options) (kind, int, error) {
	u, err := url.Parse(address)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL, in case there is a secret in it
		}
		return kind{}, 0, fmt.Errorf("blob store: malformed URL: %w", err)
	}
	known := kinds()
	open, ok := known[u.Scheme]
	if !ok {
		return kind{}, 0, fmt.Errorf("blob store: unknown scheme %q; known are %s", u.Scheme,
			strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if u.User != nil {
		return kind{}, 0, errors.New("blob store: credentials do not belong into the URL; put them into the environment")
	}
	query := &settings{values: u.Query()}
	query.part = query.integer("chunksize", defaultPart)
	if len(query.errs) > 0 {
		return kind{}, 0, fmt.Errorf("blob store: %w", errors.Join(query.errs...))
	}
	if query.part < smallestPart || query.part > largestPart || query.part%partUnit != 0 {
		return kind{}, 0, fmt.Errorf("blob store: chunksize %d is not between %d and %d and a multiple of %d",
			query.part, smallestPart, largestPart, partUnit)
	}
	k, err := open(ctx, u, query, opt)
	if err = errors.Join(query.leftOver(), err); err != nil {
		return kind{}, 0, fmt.Errorf("blob store %s: %w", u.Scheme, err)
	}
	return k, query.part, nil
}

// settings is the query of a URL. Each value that is read is taken out; errors are kept until leftOver.
type settings struct {
	part   int // bytes of a part; every driver takes it
	values url.Values
	errs   []error
}

func (s *settings) text(name, otherwise string) string {
	defer s.values.Del(name)
	if v := s.values.Get(name); v != "" {
		return v
	}
	return otherwise
}

func (s *settings) boolean(name string, otherwise bool) bool {
	v, err := strconv.ParseBool(s.text(name, strconv.FormatBool(otherwise)))
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("%s must be true or false", name))
	}
	return v
}

func (s *settings) integer(name string, otherwise int) int {
	v, err := strconv.Atoi(s.text(name, strconv.Itoa(otherwise)))
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("%s must be a number", name))
	}
	return v
}

func (s *settings) leftOver() error {
	for name := range s.values {
		s.errs = append(s.errs, fmt.Errorf("unknown setting %q", name))
	}
	return errors.Join(s.errs...)
}
