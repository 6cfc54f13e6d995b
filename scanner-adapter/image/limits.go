package image

import (
	"fmt"
	"sync/atomic"
)

// Codes of errors.
const (
	CodeFetch       = "fetch"       // the registry did not give what it was asked for
	CodeUnsupported = "unsupported" // not an image of layers
	CodeLimit       = "limit"       // more than this scanner is told to take
	CodeHostile     = "hostile"     // an entry that leaves the image, content that is not what the image says
)

// Error is why an image cannot be scanned.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Limits of one image.
type Limits struct {
	Fetched  int64 // bytes of all layers as they lie in the registry
	Unpacked int64 // bytes of all files of all layers, and of what is in archives among them
	Files    int64 // entries of all layers, and of archives among them
	Depth    int   // directories in a path
	Layers   int
}

// maxName bounds the name of an entry: PATH_MAX of Linux.
const maxName = 4096

// budget counts what the layers of one image use up; they are measured side by side.
type budget struct {
	limits          Limits
	unpacked, files atomic.Int64
}

func (b *budget) addBytes(n int64) error {
	if n < 0 || b.unpacked.Add(n) > b.limits.Unpacked {
		return refuse(CodeLimit, "The image unpacks to more than %s. Raise limits.unpacked if you trust it.", size(b.limits.Unpacked))
	}
	return nil
}

func (b *budget) addFile() error {
	if b.files.Add(1) > b.limits.Files {
		return refuse(CodeLimit, "The image has more than %d files. Raise limits.files if you trust it.", b.limits.Files)
	}
	return nil
}

// size is a number of bytes for people.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<unit.shift && n%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d %s", n>>unit.shift, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
