package sbom

import "testing"

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		kind, before, after string
	}{
		{"golang", "v0.9.0", "v0.14.0"}, {"golang", "v1.0.0-20200101000000-abcdefabcdef", "v1.0.0"}, {"golang", "1.22.1", "v1.23"},
		{"npm", "1.2.9", "1.2.10"}, {"npm", "2.0.0-rc.1", "2.0.0"}, {"cargo", "0.9.0", "1.0.0"},
		{"deb", "2.36-9+deb12u4", "2.36-9+deb12u10"}, {"deb", "1.0~rc1-1", "1.0-1"}, {"deb", "9.9", "1:1.0"},
		{"rpm", "1.1.1k-9.el8", "1.1.1k-12.el8"}, {"rpm", "1.0~beta-1", "1.0-1"},
	} {
		if n, known := CompareVersions(c.kind, c.before, c.after); n >= 0 || !known {
			t.Errorf("%s: %s to %s: %d %v", c.kind, c.before, c.after, n, known)
		}
		if n, known := CompareVersions(c.kind, c.after, c.before); n <= 0 || !known {
			t.Errorf("%s: %s to %s: %d %v", c.kind, c.after, c.before, n, known)
		}
		if n, known := CompareVersions(c.kind, c.after, c.after); n != 0 || !known {
			t.Errorf("%s: %s to itself: %d %v", c.kind, c.after, n, known)
		}
	}
	for _, c := range [][3]string{{"maven", "1.0", "1.1"}, {"pypi", "1", "2"}, {"golang", "", "v1.0.0"}, {"golang", "v1.0.0", "(devel)"},
		{"npm", "1.0.0", "latest"}, {"deb", "", "1"}, {"deb", "1", "not/one"}, {"rpm", "", "1"}, {"", "1", "2"}} {
		if _, known := CompareVersions(c[0], c[1], c[2]); known {
			t.Errorf("the order of %q is known", c)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	for _, kind := range []string{"golang", "deb", "rpm"} {
		f.Add(kind, "1:1.0~rc1-2", "v1.0.0-0.20200101000000-abcdefabcdef")
		f.Add(kind, "", "99999999999999999999999999")
	}
	f.Fuzz(func(t *testing.T, kind, a, b string) {
		n, known := CompareVersions(kind, a, b)
		if m, also := CompareVersions(kind, b, a); known != also || known && (n > 0) != (m < 0) {
			t.Errorf("%s: %q to %q is %d, and %d back", kind, a, b, n, m)
		}
	})
}
