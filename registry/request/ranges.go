package request

import (
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// ParseContentRange reads the Content-Range of a chunk, "<first>-<last>", both inclusive (OCI distribution specification,
// "Pushing a blob in chunks"; it is not the header of RFC 9110). It returns the offset and the length of the chunk.
func ParseContentRange(s string) (offset, length int64, err *registry.Error) {
	a, b, ok := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(a, 10, 63)
	last, err2 := strconv.ParseUint(b, 10, 63)
	if !ok || err1 != nil || err2 != nil || last < first || last-first == 1<<63-1 {
		return 0, 0, registry.NewError(registry.CodeBlobUploadInvalid, "The Content-Range of a chunk must be "+
			"\"<first byte>-<last byte>\", counted from the beginning of the blob, without unit.")
	}
	return int64(first), int64(last-first) + 1, nil
}

// UsableRange says whether a Range header (RFC 9110, section 14.2) should be looked at: its unit is bytes, and it does
// not ask for more than most ranges. Section 14.2 allows a server to ignore any other.
func UsableRange(s string, most int) bool {
	set, ok := strings.CutPrefix(s, "bytes=")
	return ok && strings.Count(set, ",") < most
}
