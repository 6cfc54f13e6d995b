package request

import (
	"strconv"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/registry"
)

func TestParseContentRange(t *testing.T) {
	for s, want := range map[string][2]int64{
		"0-0": {0, 1}, "0-9": {0, 10}, "10-19": {10, 10}, "1-9223372036854775807": {1, 1<<63 - 1},
	} {
		if offset, length, err := ParseContentRange(s); err != nil || offset != want[0] || length != want[1] {
			t.Errorf("%q: %d, %d, %v", s, offset, length, err)
		}
	}
	for _, s := range []string{
		"", "-", "0", "0-", "-9", "9-0", "a-b", "0-9/10", "bytes 0-9/10", "bytes=0-9", "+0-9", "0--9", "0-9 ", " 0-9", "0 - 9",
		"0-9223372036854775807", "0-9223372036854775808", "0-9-10", "0x0-9",
	} {
		if _, _, err := ParseContentRange(s); err == nil || err.Code != registry.CodeBlobUploadInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestUsableRange(t *testing.T) {
	sixteen := "bytes=0-0" + strings.Repeat(",2-2", 15)
	for s, want := range map[string]bool{
		"bytes=0-9": true, "bytes=-5": true, "bytes=9-0": true, sixteen: true, sixteen + ",4-4": false, "": false,
		"items=0-9": false, "Bytes=0-9": false,
	} {
		if UsableRange(s, 16) != want {
			t.Errorf("UsableRange(%q) = %v", s, !want)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"0-0", "0-9", "9-0", "0-9223372036854775807", "bytes 0-9/10", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		offset, length, err := ParseContentRange(s)
		if err != nil {
			return
		}
		if offset < 0 || length < 1 || offset+length-1 < offset {
			t.Fatalf("%q: %d, %d", s, offset, length)
		}
		a, b, _ := strings.Cut(s, "-")
		trim := func(s string) string { return strings.TrimLeft(s[:len(s)-1], "0") + s[len(s)-1:] }
		if trim(a) != strconv.FormatInt(offset, 10) || trim(b) != strconv.FormatInt(offset+length-1, 10) {
			t.Fatalf("%q: %d, %d", s, offset, length)
		}
	})
}

func FuzzUsableRange(f *testing.F) {
	f.Add("bytes=0-9", 16)
	f.Add("bytes=0-9,1-2", 1)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if UsableRange(s, most) && (!strings.HasPrefix(s, "bytes=") || strings.Count(s, ",") >= most) {
			t.Fatalf("%q, %d", s, most)
		}
	})
}
