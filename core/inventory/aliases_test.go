package inventory

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestParseAliases(t *testing.T) {
	want := []store.Alias{{Name: "CVE-1", Alias: "A-1", Title: "甲, 乙"}, {Name: "CVE-2", Alias: "A-2"}}
	for _, text := range []string{"id,alias,title\nCVE-1,A-1,\"甲, 乙\"\nCVE-2,A-2,\n", "\ufeffalias,id,title\r\nA-1,CVE-1,\"甲, 乙\"\r\nA-2,CVE-2,\r\n",
		"{\"id\":\"CVE-1\",\"alias\":\"A-1\",\"title\":\"甲, 乙\"}\n{\"alias\":\"A-2\",\"id\":\"CVE-2\"}"} {
		got, err := ParseAliases(strings.NewReader(text), AliasLimits{})
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

// Each limit at the limit, and one past it.
func TestAliasLimits(t *testing.T) {
	row := func(id, alias, title string) string {
		return fmt.Sprintf("id,alias,title\n%s,%s,%s\n", id, alias, title)
	}
	x := strings.Repeat
	three := "id,alias\nCVE-1,A\nCVE-2,B\nCVE-3,C\n"
	line := func(n int) string {
		return `{"id":"CVE-1","alias":"A"` + x(" ", n-len(`{"id":"CVE-1","alias":"A"}`)) + `}`
	}
	for _, c := range []struct {
		text   string
		limits AliasLimits
		code   core.ErrorCode
	}{
		{row(x("x", 128), "A", ""), AliasLimits{}, ""}, {row(x("x", 129), "A", ""), AliasLimits{}, core.CodeInvalid},
		{row("CVE-1", x("x", 128), ""), AliasLimits{}, ""}, {row("CVE-1", x("x", 129), ""), AliasLimits{}, core.CodeInvalid},
		{row("CVE-1", "A", x("x", 1024)), AliasLimits{}, ""}, {row("CVE-1", "A", x("x", 1025)), AliasLimits{}, core.CodeInvalid},
		{row("CVE-1", "A", "\xff"), AliasLimits{}, core.CodeInvalid}, {row("CVE-1", "A", "x\x00"), AliasLimits{}, core.CodeInvalid},
		{row("CVE 1", "A", ""), AliasLimits{}, core.CodeInvalid}, {row("CVE-1", "甲", ""), AliasLimits{}, core.CodeInvalid},
		{three, AliasLimits{Lines: 3}, ""}, {three, AliasLimits{Lines: 2}, core.CodeLimit},
		{three, AliasLimits{Bytes: int64(len(three))}, ""}, {three, AliasLimits{Bytes: int64(len(three)) - 1}, core.CodeTooLarge},
		{line(maxAliasLine - 1), AliasLimits{}, ""}, {line(maxAliasLine + 1), AliasLimits{}, core.CodeInvalid},
	} {
		_, err := ParseAliases(strings.NewReader(c.text), c.limits)
		if core.CodeOf(err) != c.code && !(err == nil && c.code == "") {
			t.Errorf("%.60q, %+v: %v, want %q", c.text, c.limits, err, c.code)
		}
	}
	broken := io.MultiReader(strings.NewReader("id,alias\nCVE-1,A\n"), failingReader{})
	if _, err := ParseAliases(broken, AliasLimits{}); core.CodeOf(err) != core.CodeInvalid {
		t.Errorf("what ends midway: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("gone") }
