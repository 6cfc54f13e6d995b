package local

import (
	"strconv"
	"strings"
	"testing"
)

// The texts of statements with lists are few, whatever numbers of digests clients choose.
func TestListsHaveFewTexts(t *testing.T) {
	texts := map[string]bool{}
	for n := 1; n <= 1000; n++ {
		values := make([]string, n)
		for i := range values {
			values[i] = strconv.Itoa(i)
		}
		text, args := list([]any{"first"}, values)
		texts[text] = true
		if got := strings.Count(text, "$"); got != len(args)-1 || got < n || !strings.HasPrefix(text, "$2") {
			t.Fatalf("%d values: %d placeholders for %d arguments", n, got, len(args)-1)
		}
		for i := range args[1:] {
			if want := values[min(i, n-1)]; args[i+1] != want {
				t.Fatalf("%d values: argument %d is %v, want %s", n, i+1, args[i+1], want)
			}
		}
	}
	if len(texts) > 11 {
		t.Errorf("%d texts", len(texts))
	}
}
