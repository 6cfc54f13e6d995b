package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scannerRooms says what the rooms of the nested module scanner-adapter may import of it, and whether they may know Trivy,
// or the hub's client of registries. The hub imports none of them: it speaks to adapters over HTTP.
func scannerRooms() map[string]struct {
	may            []string
	trivy, clients bool
} {
	type room = struct {
		may            []string
		trivy, clients bool
	}
	return map[string]room{
		".":                  {may: []string{"child", "database", "image", "job", "sandbox", "service", "spec", "worker"}},
		"child":              {may: []string{"image", "job", "sandbox", "trivy"}, clients: true},
		"database":           {may: []string{"image"}, clients: true},
		"e2e":                {},
		"image":              {may: []string{"spec"}, clients: true},
		"job":                {may: []string{"image"}},
		"report":             {may: []string{"spec"}},
		"sandbox":            {},
		"scannertest":        {},
		"scannertest/makedb": {may: []string{"scannertest/vulndb"}, trivy: true},
		"scannertest/vulndb": {trivy: true},
		"service":            {may: []string{"database", "image", "job", "report", "sandbox", "spec", "worker"}, clients: true},
		"spec":               {},
		"trivy":              {may: []string{"image"}, trivy: true},
		"worker":             {may: []string{"image", "job", "sandbox"}},
	}
}

const scanner = module + "/scanner-adapter"

// TestScannerArrows reads the files themselves: to ask the go command would download Trivy.
func TestScannerArrows(t *testing.T) {
	root := filepath.Join("..", "..", "scanner-adapter")
	rooms := scannerRooms()
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		name, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		room, ok := rooms[filepath.ToSlash(name)]
		if !ok {
			t.Errorf("%s has no rule: add one here and say in its doc.go what it may import", path)
			return nil
		}
		seen[filepath.ToSlash(name)] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			dep, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			inner, ours := strings.CutPrefix(dep, scanner+"/")
			switch {
			case ours && !slices.Contains(room.may, inner):
				t.Errorf("%s imports %s, which its rule does not allow", path, inner)
			case strings.HasPrefix(dep, "github.com/aquasecurity/") && !room.trivy:
				t.Errorf("%s imports %s; only trivy may", path, dep)
			case !ours && strings.HasPrefix(dep, module+"/") && !(room.clients && (dep == module+"/registry" || dep == module+"/registry/remote")):
				t.Errorf("%s imports %s of the hub; some rooms may import registry and registry/remote", path, dep)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range rooms {
		doc, err := os.ReadFile(filepath.Join(root, name, "doc.go"))
		if !seen[name] || err != nil {
			t.Errorf("scanner-adapter/%s: no such room, or no doc.go", name)
		} else if n := strings.Count(string(doc), "\n"); n > 15 {
			t.Errorf("scanner-adapter/%s/doc.go has %d lines; 15 are enough to say what a room is for", name, n)
		}
	}
}
