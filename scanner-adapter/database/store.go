package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Kind is one of the two databases.
type Kind struct {
	Name      string // its directory
	File      string
	Version   int // of its schema
	MediaType string
}

// Vulnerabilities and Java are the databases there are.
func Vulnerabilities() Kind {
	return Kind{Name: "db", File: "trivy.db", Version: 2, MediaType: "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"}
}

// Java is the index by which archives without a description of themselves are recognised.
func Java() Kind {
	return Kind{Name: "java-db", File: "trivy-java.db", Version: 1, MediaType: "application/vnd.aquasec.trivy.javadb.layer.v1.tar+gzip"}
}

// Age is what a database says of itself, and where it is from.
type Age struct {
	Version    int       `json:"Version"`
	UpdatedAt  time.Time `json:"UpdatedAt"`
	NextUpdate time.Time `json:"NextUpdate"`
	ImportedAt time.Time `json:"ImportedAt"` // ours
	Source     string    `json:"Source"`     // ours
}

// Refused is why a database is not taken. Its message is for people.
type Refused struct {
	Message string
	cause   error
}

func (r *Refused) Error() string { return r.Message }

func (r *Refused) Unwrap() error { return r.cause }

func refuse(format string, args ...any) error { return &Refused{Message: fmt.Sprintf(format, args...)} }

func damaged(cause error) error {
	return &Refused{Message: "The database's archive is damaged: " + cause.Error(), cause: cause}
}

const (
	metadata = "metadata.json"
	origin   = "origin.json"
	current  = "current"
)

// Store is a directory of generations, of which the link "current" names one. Each has both databases or one of them.
type Store struct {
	dir   string
	check func(ctx context.Context, generation string) error // reads a vulnerability database as a whole; in a child

	importing sync.Mutex // one at a time

	mu      sync.Mutex
	current string         // a directory below dir, or ""
	users   map[string]int // generations that scans use
	refused map[string]refusal
}

// Open opens the store in dir and removes what an interrupted import left.
func Open(dir string, check func(ctx context.Context, generation string) error) (*Store, error) {
	dir, err := filepath.Abs(dir) // children are elsewhere
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, check: check, users: map[string]int{}, refused: map[string]refusal{}}
	to, err := os.Readlink(filepath.Join(dir, current))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s.current = to
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() != current && e.Name() != s.current {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// Acquire is the directory of the databases that a scan is to use, until it calls release. With vulnerabilities it is an
// error that their database is missing; without it may be "": there are none.
func (s *Store) Acquire(vulnerabilities bool) (dir string, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if vulnerabilities {
		if _, ok := s.age(Vulnerabilities()); !ok {
			return "", nil, refuse("There is no vulnerability database yet. %s", howTo)
		}
	}
	if s.current == "" {
		return "", func() {}, nil
	}
	generation := s.current
	s.users[generation]++
	return filepath.Join(s.dir, generation), func() { s.release(generation) }, nil
}

// howTo says what to do without a database.
const howTo = "Set database to a source that can be reached, or bring one in: scanner-adapter database import FILE."

func (s *Store) release(generation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[generation]--
	s.bury(generation)
}

// bury removes a generation that is neither current nor in use. s.mu is held.
func (s *Store) bury(generation string) {
	if generation != "" && generation != s.current && s.users[generation] <= 0 {
		delete(s.users, generation)
		_ = os.RemoveAll(filepath.Join(s.dir, generation)) // Open tries again
	}
}

// Age is the age of a database; ok is false if there is none.
func (s *Store) Age(k Kind) (a Age, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.age(k)
}

func (s *Store) age(k Kind) (Age, bool) {
	if s.current == "" {
		return Age{}, false
	}
	a, err := readAge(filepath.Join(s.dir, s.current, k.Name))
	return a, err == nil
}

// AgeOf is the age of the vulnerability database in a directory that Acquire returned.
func AgeOf(dir string) (Age, error) { return readAge(filepath.Join(dir, Vulnerabilities().Name)) }

func readAge(dir string) (Age, error) {
	var a Age
	for _, name := range []string{metadata, origin} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name == origin {
			continue
		}
		if err != nil {
			return Age{}, err
		}
		if err := json.Unmarshal(b, &a); err != nil {
			return Age{}, err
		}
	}
	return a, nil
}

// Import takes a database that fill writes into a directory. Scans that run go on with the one before.
func (s *Store) Import(ctx context.Context, k Kind, source string, older bool, fill func(dir string) error) error {
	s.importing.Lock()
	defer s.importing.Unlock()
	generation, err := os.MkdirTemp(s.dir, "g-")
	if err != nil {
		return err
	}
	taken := false
	defer func() {
		if !taken {
			_ = os.RemoveAll(generation)
		}
	}()
	dir := filepath.Join(generation, k.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := fill(dir); err != nil {
		return err
	}
	if err := s.accept(k, dir, older); err != nil {
		return err
	}
	if err := s.keepOther(k, generation); err != nil {
		return err
	}
	if k == Vulnerabilities() {
		if err := s.check(ctx, generation); err != nil {
			return err
		}
	}
	o, err := json.Marshal(map[string]any{"ImportedAt": time.Now().UTC(), "Source": source})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, origin), o, 0o600); err != nil {
		return err
	}
	if err := s.swap(filepath.Base(generation)); err != nil {
		return err
	}
	taken = true
	return nil
}

// accept looks at what a database says of itself.
func (s *Store) accept(k Kind, dir string, older bool) error {
	a, err := readAge(dir)
	switch {
	case err != nil:
		return refuse("The database has no readable %s: %v", metadata, err)
	case a.Version != k.Version:
		return refuse("The database has schema version %d; this scanner reads %d. Take the one with the tag %d.", a.Version, k.Version, k.Version)
	case a.UpdatedAt.After(time.Now().Add(time.Hour)):
		return refuse("The database says it is of %s, which is yet to come. Look at the clocks.", a.UpdatedAt.Format(time.RFC3339))
	}
	if info, err := os.Lstat(filepath.Join(dir, k.File)); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return refuse("The database has no %s.", k.File)
	}
	if have, ok := s.Age(k); ok && !older && a.UpdatedAt.Before(have.UpdatedAt) {
		return refuse("The database is of %s and older than the one in use, of %s: it would hide what was found since.",
			a.UpdatedAt.Format(time.RFC3339), have.UpdatedAt.Format(time.RFC3339))
	}
	return nil
}

// keepOther takes the other database along into a new generation.
func (s *Store) keepOther(k Kind, generation string) error {
	s.mu.Lock()
	now := s.current
	s.mu.Unlock()
	for _, other := range []Kind{Vulnerabilities(), Java()} {
		from := filepath.Join(s.dir, now, other.Name)
		if _, err := os.Stat(from); other == k || now == "" || err != nil {
			continue
		}
		to := filepath.Join(generation, other.Name)
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		for _, name := range []string{other.File, metadata, origin} {
			if err := os.Link(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// swap makes a generation the current one.
func (s *Store) swap(generation string) error {
	link := filepath.Join(s.dir, "link-"+strings.TrimPrefix(generation, "g-"))
	if err := os.Symlink(generation, link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(s.dir, current)); err != nil {
		return errors.Join(err, os.Remove(link))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.current
	s.current = generation
	s.bury(before)
	return nil
}
