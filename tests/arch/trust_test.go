package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/gate"
)

// rooms are what the table of attacks calls the directories of tests.
var rooms = map[string]string{"attack": "tests/attack", "keeper": "core/gatekeeper", "trust": "core/trust", "gate": "core/gate", "ledger": "core/ledger", "upstream": "core/upstream", "store": "core/store", "api": "core/api", "local": "registry/local", "e2e": "tests/e2e"}

// TestTrustTable: each row of the table of attacks names a test that exists where it says; all scripts about the gate, all
// attacks on it and all threats that concern it have a row; and the policies that the page shows can be saved.
func TestTrustTable(t *testing.T) {
	raw, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	checkAttacks(t, page)
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

func checkAttacks(t *testing.T, page string) {
	t.Helper()
	ofTheGate := regexp.MustCompile(`^TestV(3[1-9]|4[0-4])`)
	exist, missing := map[string]bool{}, map[string]bool{}
	for room, dir := range rooms {
		for _, name := range testsIn(t, dir) {
			exist[room+" "+name] = true
			if room == "attack" && ofTheGate.MatchString(name) {
				missing[room+" "+name] = true
			}
		}
	}
	scripts, err := filepath.Glob("../scripts/testdata/alone/gate_*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, s := range scripts {
		name := strings.TrimSuffix(filepath.Base(s), ".txtar")
		exist[name], missing[name] = true, true
	}
	_, table, _ := strings.Cut(page, "\n## Attacks\n")
	rows := regexp.MustCompile(`(?m)^\| (.+) \| (.+) \| (.+) \|$`).FindAllStringSubmatch(table, -1)
	if lines := strings.Count(table, "\n|"); len(rows) < 20 || lines != len(rows)+1 { // and the line below the head
		t.Fatalf("%d rows of %d lines have three columns", len(rows), lines)
	}
	for _, row := range rows[1:] {
		room, tested := "", false
		for _, word := range strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune(" ,;`", r) }) {
			what := word
			switch {
			case rooms[word] != "":
				room = word
				continue
			case strings.HasPrefix(word, "Test"):
				what = room + " " + word
			}
			if tested = true; !exist[what] {
				t.Errorf("%s: there is no %q", row[1], what)
			}
			delete(missing, what)
		}
		if !tested {
			t.Errorf("%s: no test", row[1])
		}
	}
	for name := range missing {
		t.Errorf("%s is not in the table", name)
	}
	for _, threat := range strings.Fields("V-31 V-32 V-33 V-34 V-35 V-36 V-37 V-38 V-39 V-40 V-41 V-42 V-43 V-44 F-22") {
		if !strings.Contains(table, threat) {
			t.Errorf("%s has no row", threat)
		}
	}
}

// testsIn are the tests of a directory.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("no tests in", dir, err)
	}
	var names []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
			names = append(names, m[1])
		}
	}
	return names
}
