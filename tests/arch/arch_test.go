// Package arch holds the house to its plan: which room may import which.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/hallmarkhub/hallmark"

// rule says what packages under room may import of ours. Everything points inward.
type rule struct {
	room  string // prefix of the import path behind the module's name; the longest that fits holds
	may   []string
	third []string // if set, the only modules of others besides the standard library
}

func rules() []rule {
	return []rule{
		{room: "core", may: nil, third: []string{}},
		{room: "core/seal", may: []string{"core", "core/db"}},
		{room: "core/db", may: nil},
		{room: "core/db/dbtest", may: []string{"core/db"}},
		{room: "core/store", may: []string{"core", "core/db", "core/seal"}},
		{room: "core/auth", may: []string{"core", "core/db", "core/seal", "core/store", "core/access", "registry"}},
		{room: "core/access", may: []string{"core", "core/store", "registry"}},
		{room: "core/event", may: []string{"core", "core/db", "core/store"}},
		{room: "core/webhook", may: []string{"core", "core/access", "core/db", "core/event", "core/seal", "core/store"}},
		{room: "core/scan", may: []string{"core", "core/db", "core/event", "core/seal", "core/store", "registry"}},
		{room: "core/gate", may: []string{"core", "core/sbom", "core/trust"}, third: []string{"cel.dev/cel-go", "go.yaml.in/yaml/v3", "github.com/go-json-experiment/json"}},
		{room: "core/gatekeeper", may: []string{"core", "core/access", "core/db", "core/gate", "core/store", "core/trust", "registry"}},
		{room: "core/inventory", may: []string{"core", "core/gate", "core/gatekeeper", "core/sbom", "core/store", "core/trust", "registry"}},
		{room: "core/sbom", may: []string{"core"}, third: []string{"github.com/go-json-experiment/json", "github.com/package-url/packageurl-go",
			"github.com/knqyf263/go-deb-version", "github.com/knqyf263/go-rpm-version", "golang.org/x/mod/semver"}},
		{room: "core/ledger", may: []string{"core", "core/db", "core/event", "core/store", "core/trust", "registry", "registry/local", "jobservice"}},
		{room: "core/upstream", may: []string{"core", "core/db", "core/seal", "core/store", "registry", "registry/local", "registry/remote"}},
		{room: "core/trust", may: []string{"core", "registry"}},
		{room: "core/web", may: []string{"core", "core/auth", "core/db", "registry"}},
		{room: "core/api", may: []string{"core", "core/", "registry", "jobservice"}},
		{room: "core/api/spec", may: []string{"core"}},
		{room: "registry", may: nil, third: []string{"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec", "github.com/go-json-experiment/json"}},
		{room: "registry/request", may: []string{"registry"}},
		{room: "registry/server", may: []string{"registry", "registry/request"}},
		{room: "registry/local", may: []string{"core", "core/db", "registry", "registry/blob"}},
		{room: "registry/remote", may: []string{"core", "registry"}},
		{room: "registry/registrytest", may: []string{"registry"}},
		{room: "registry/blob", may: nil},
		{room: "registry/blob/", may: []string{"registry/blob"}},
		{room: "jobservice", may: []string{"core", "core/db", "core/store", "jobservice/queue"}},
		{room: "jobservice/adapter", may: nil, third: []string{}},
		{room: "jobservice/queue", may: nil},
		{room: "jobservice/queue/", may: []string{"jobservice/queue"}},
		{room: "jobservice/work", may: []string{"core", "core/db", "core/scan", "core/store", "core/webhook", "jobservice", "registry", "registry/blob"}},
		{room: "migrations", may: []string{"core/db"}},
		{room: "cmd", may: []string{""}},
		{room: "tests", may: []string{""}},
	}
}

// nobody lists rooms that only cmd and tests may import.
func nobody() []string {
	return []string{"cmd/", "core/api", "registry/server", "jobservice/work"}
}

type pkg struct {
	ImportPath string
	Imports    []string
	Dir        string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Dir", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

func ruleFor(room string) (rule, bool) {
	var best rule
	found := false
	for _, r := range rules() {
		fits := room == r.room || strings.HasPrefix(room, strings.TrimSuffix(r.room, "/")+"/")
		if strings.HasSuffix(r.room, "/") && room == strings.TrimSuffix(r.room, "/") {
			fits = false
		}
		if fits && (!found || len(r.room) > len(best.room)) {
			best, found = r, true
		}
	}
	return best, found
}

func allowed(r rule, room, dep string) bool {
	if dep == room {
		return true
	}
	for _, m := range r.may {
		if m == "" || m == dep || (strings.HasSuffix(m, "/") && strings.HasPrefix(dep, m)) {
			return true
		}
	}
	return false
}

func TestArrowsPointInward(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		r, ok := ruleFor(room)
		if !ok {
			t.Errorf("room %s has no rule: add one here and say in its doc.go what it may import", room)
			continue
		}
		for _, dep := range p.Imports {
			if inner, ours := strings.CutPrefix(dep, module+"/"); ours {
				if !allowed(r, room, inner) {
					t.Errorf("%s imports %s, which its rule does not allow", room, inner)
				}
				for _, n := range nobody() {
					n = strings.TrimSuffix(n, "/") + "/"
					if strings.HasPrefix(inner+"/", n) && !strings.HasPrefix(room+"/", n) &&
						!strings.HasPrefix(room, "cmd/") && !strings.HasPrefix(room, "tests/") {
						t.Errorf("%s imports %s, which only cmd wires", room, inner)
					}
				}
				continue
			}
			checkThird(t, r, room, dep)
		}
	}
}

func checkThird(t *testing.T, r rule, room, dep string) {
	t.Helper()
	if strings.HasPrefix(dep, "github.com/distribution/distribution/") && room != "registry/blob/driver" && !strings.HasPrefix(room, "tests/") {
		t.Errorf("%s imports %s; only registry/blob/driver may", room, dep)
	}
	if r.third == nil || !strings.Contains(strings.Split(dep, "/")[0], ".") {
		return
	}
	for _, m := range r.third {
		if dep == m || strings.HasPrefix(dep, m+"/") {
			return
		}
	}
	t.Errorf("%s imports %s; it may import only %v", room, dep, r.third)
}

// TestEveryRoomIsDescribed asks for a doc.go of at most 15 lines in each folder with Go code.
func TestEveryRoomIsDescribed(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(room, "tests/") || strings.HasSuffix(room, "test") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("%s has no doc.go", room)
			continue
		}
		if n := strings.Count(string(b), "\n"); n > 15 {
			t.Errorf("%s/doc.go has %d lines; 15 are enough to say what a room is for", room, n)
		}
	}
}

func TestBannedNames(t *testing.T) {
	banned := []string{"util", "utils", "common", "lib", "helper", "helpers", "manager"}
	for _, p := range packages(t) {
		for _, b := range banned {
			if filepath.Base(p.ImportPath) == b {
				t.Errorf("%s: a room is named after what it is for", p.ImportPath)
			}
		}
	}
}
