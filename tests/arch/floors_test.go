package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestVersionFloors keeps modules at or above the version in which a known vulnerability was mended.
func TestVersionFloors(t *testing.T) {
	for file, floors := range map[string]map[string]string{
		"go.mod": {
			"github.com/distribution/distribution/v3":    "v3.1.1", // credentials sent to a hostile realm; revived access after delete
			"github.com/sigstore/sigstore-go":            "v1.2.1", // validity of keys and certificates not checked (V-34)
			"github.com/sigstore/timestamp-authority/v2": "v2.0.6", // likewise
			"github.com/jackc/pgx/v5":                    "v5.9.2", // SQL injection by placeholder and protocol confusion
			"github.com/redis/go-redis/v9":               "v9.7.3", // a reply taken for that of another request (V-55)
		},
		"scanner-adapter/go.mod": {
			"github.com/aquasecurity/trivy": "v0.73.0", // v0.69.4 to 6 were malicious; tar bomb (V-14)
		},
	} {
		checkFloors(t, file, floors)
	}
}

func checkFloors(t *testing.T, file string, floors map[string]string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	for module, floor := range floors {
		m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(b)
		if m == nil {
			t.Errorf("%s is not in %s: remove its floor here", module, file)
			continue
		}
		if less(string(m[1]), floor) {
			t.Errorf("%s is %s, at least %s is needed", module, m[1], floor)
		}
	}
}

// less compares versions of the form vA.B.C.
func less(a, b string) bool {
	x, y := strings.Split(strings.TrimPrefix(a, "v"), "."), strings.Split(strings.TrimPrefix(b, "v"), ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return false
}

func TestLess(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"v3.1.0", "v3.1.1", true}, {"v3.1.1", "v3.1.1", false}, {"v3.10.0", "v3.9.9", false}, {"v4.0.0", "v3.9.9", false}} {
		if less(tt.a, tt.b) != tt.want {
			t.Errorf("%s < %s is %v", tt.a, tt.b, !tt.want)
		}
	}
}
