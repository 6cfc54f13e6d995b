package disk

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

var _ blob.Finder = (*Store)(nil)

// Find implements blob.Finder. It reads the names in every directory of committed content, and nothing else of them.
func (s *Store) Find(ctx context.Context, wanted []string) ([]string, error) {
	from := map[string]bool{}
	for _, upload := range wanted {
		from[upload] = true
	}
	var keys []string
	for _, algorithm := range []string{"sha256", "sha512"} {
		subs, err := os.ReadDir(s.path(algorithm))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, explain("find", err)
		}
		for _, sub := range subs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			found, err := s.findIn(filepath.Join(algorithm, sub.Name()), sub, from)
			if err != nil {
				return nil, err
			}
			keys = append(keys, found...)
		}
	}
	return keys, nil
}

func (s *Store) findIn(dir string, entry fs.DirEntry, from map[string]bool) ([]string, error) {
	if !entry.IsDir() {
		return nil, nil
	}
	f, err := os.Open(s.path(dir))
	if err != nil {
		return nil, explain("find", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, explain("find", err)
	}
	var keys []string
	for _, name := range names {
		if _, upload, ok := strings.Cut(name, "."); ok && from[upload] {
			keys = append(keys, filepath.ToSlash(filepath.Join(dir, name)))
		}
	}
	return keys, nil
}
