package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/gate"
)

// TestTrustTable: the table of attacks names tests that exist, all scripts about the gate and all threats that concern it;
// and the policies that the page shows can be saved.
func TestTrustTable(t *testing.T) {
	raw, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	var tests strings.Builder
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		tests.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(page, -1) {
		if !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
	scripts, err := filepath.Glob("../scripts/testdata/alone/gate_*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	known := map[string]bool{"gate_*": true}
	for _, s := range scripts {
		name := strings.TrimSuffix(filepath.Base(s), ".txtar")
		known[name] = true
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, m := range regexp.MustCompile("`(gate_[^`]*)`").FindAllStringSubmatch(page, -1) {
		if !known[m[1]] {
			t.Errorf("there is no script %s", m[1])
		}
	}
	for _, threat := range strings.Fields("V-31 V-32 V-33 V-34 V-35 V-36 V-37 V-38 V-39 V-40 V-41 V-42 V-43 V-44") {
		if !strings.Contains(page, threat) {
			t.Errorf("%s has no row", threat)
		}
	}
	policies := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(policies) == 0 {
		t.Error("no policies")
	}
	for _, p := range policies {
		text := strings.ReplaceAll(p[1], "sha256:...", "sha256:"+strings.Repeat("0", 64))
		if !strings.HasPrefix(text, "apiVersion") {
			text = "apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: example, project: team}\n" + text
		}
		if _, err := gate.Parse([]byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
