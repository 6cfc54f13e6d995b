package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	ociImage   = ocispec.MediaTypeImageManifest
	ociIndex   = ocispec.MediaTypeImageIndex
	dockerSpec = MediaTypeDockerManifest
	dockerList = MediaTypeDockerList
)

// desc is the JSON of a descriptor of content.
func desc(mediaType, content, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, digest.FromString(content), len(content), more)
}

func config() string { return desc(ocispec.MediaTypeImageConfig, "{}", "") }

func layer(s string) string { return desc(ocispec.MediaTypeImageLayerGzip, s, "") }

// image is an OCI image manifest with more members before its end.
func image(more string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`, ociImage, config(), layer("1"), more)
}

func index(more string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]%s}`, ociIndex, desc(ociImage, "m", ""), more)
}

func parse(t *testing.T, mediaType, payload string) *ParsedManifest {
	t.Helper()
	m, err := ParseManifest(mediaType, []byte(payload), ManifestLimits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, payload)
	}
	return m
}

func TestParseManifestImage(t *testing.T) {
	subject := desc(ociImage, "subject", "")
	m := parse(t, ociImage, image(`,"artifactType":"x/y","subject":`+subject+`,"annotations":{"a":"b"},"extra":[{"Layers":1}]`))
	if m.Kind != KindImage || m.MediaType != ociImage || m.ArtifactType != "x/y" || m.Annotations["a"] != "b" {
		t.Errorf("%+v", m)
	}
	if m.Config.Digest != digest.FromString("{}") || len(m.Layers) != 1 || m.Subject.Digest != digest.FromString("subject") {
		t.Errorf("%+v", m)
	}
	if len(m.Blobs()) != 2 || m.Children() != nil {
		t.Errorf("blobs %v, children %v", m.Blobs(), m.Children())
	}
	r := m.Referrer(digest.FromString("me"), 7)
	if r.ArtifactType != "x/y" || r.Annotations["a"] != "b" || r.Size != 7 || r.MediaType != ociImage {
		t.Errorf("%+v", r)
	}
	if r := parse(t, ociImage, image("")).Referrer("", 0); r.ArtifactType != ocispec.MediaTypeImageConfig {
		t.Errorf("without artifactType the referrer has %q", r.ArtifactType)
	}
}

func TestParseManifestIndex(t *testing.T) {
	child := desc(ociImage, "1", `,"platform":{"os":"linux","architecture":"arm","variant":"v7","os.version":"1","os.features":["f"]}`)
	cache := desc(ocispec.MediaTypeImageLayerGzip, "layer", "")
	m := parse(t, ociIndex, fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s,%s,%s]}`, child, child, cache))
	if m.Kind != KindIndex || m.MediaType != ociIndex || len(m.Manifests) != 3 {
		t.Errorf("%+v", m)
	}
	if p := m.Manifests[0].Platform; p.OS != "linux" || p.Architecture != "arm" || p.Variant != "v7" ||
		p.OSVersion != "1" || p.OSFeatures[0] != "f" {
		t.Errorf("%+v", p)
	}
	if len(m.Children()) != 1 || len(m.Blobs()) != 1 {
		t.Errorf("children %v, blobs %v", m.Children(), m.Blobs())
	}
	if r := m.Referrer("", 0); r.ArtifactType != "" {
		t.Errorf("an index without artifactType has %q", r.ArtifactType)
	}
}

func TestParseManifestAccepts(t *testing.T) {
	data := base64.StdEncoding.EncodeToString([]byte("{}"))
	for name, c := range map[string]struct{ mediaType, payload string }{
		"no mediaType, image":    {ociImage, `{"schemaVersion":2,"config":` + config() + `,"layers":[]}`},
		"no mediaType, index":    {ociIndex, `{"schemaVersion":2,"manifests":[]}`},
		"no Content-Type":        {"", image("")},
		"layers null":            {ociImage, `{"schemaVersion":2,"config":` + config() + `,"layers":null}`},
		"layers missing":         {ociImage, `{"schemaVersion":2,"config":` + config() + `}`},
		"manifests null":         {ociIndex, `{"schemaVersion":2,"manifests":null}`},
		"nulls":                  {ociImage, image(`,"subject":null,"annotations":null,"artifactType":null`)},
		"empty config":           {ociImage, `{"schemaVersion":2,"config":` + desc(ocispec.MediaTypeEmptyJSON, "{}", `,"data":"`+data+`"`) + `}`},
		"white space":            {ociImage, "\n\t " + image("") + " \n"},
		"data of an empty blob":  {ociImage, `{"schemaVersion":2,"config":` + desc("a/b", "", `,"data":""`) + `}`},
		"docker":                 {dockerSpec, strings.Replace(image(""), ociImage, dockerSpec, 1)},
		"docker list":            {dockerList, strings.Replace(index(""), ociIndex, dockerList, 1)},
		"urls":                   {ociImage, image(`,"subject":` + desc(ociImage, "s", `,"urls":["https://example.com/a"]`))},
		"unknown fields anyhow":  {ociImage, image(`,"x":{"Layers":[{"MEDIATYPE":1}]},"annotations":{"Layers":"","layers":""}`)},
		"escaped but well-known": {ociImage, strings.Replace(image(""), `"config"`, `"\u0063onfig"`, 1)},
	} {
		t.Run(name, func(t *testing.T) { parse(t, c.mediaType, c.payload) })
	}
}

// V-29: whatever could be read in two ways.
func TestV29ParseManifestRefuses(t *testing.T) {
	bare := `{"schemaVersion":2,"config":` + config() + `,"layers":[]}`
	for name, c := range map[string]struct{ mediaType, payload string }{
		"manifests with layers":         {ociIndex, index(`,"layers":[]`)},
		"manifests with config":         {ociIndex, index(`,"config":` + config())},
		"layers with manifests":         {ociImage, image(`,"manifests":[]`)},
		"layers with null manifests":    {ociImage, image(`,"manifests":null`)},
		"index with null layers":        {ociIndex, index(`,"layers":null`)},
		"mediaType is not Content-Type": {ociIndex, image("")},
		"Docker as OCI":                 {ociImage, strings.Replace(image(""), ociImage, dockerSpec, 1)},
		"missing both":                  {"", bare},
		"unknown Content-Type":          {"application/json", bare},
		"both unknown":                  {"x/y", strings.Replace(image(""), ociImage, "x/y", 1)},
		"image as index":                {ociIndex, bare},
		"index as image":                {ociImage, `{"schemaVersion":2,"manifests":[]}`},
		"neither":                       {ociImage, `{"schemaVersion":2}`},
		"neither, index":                {ociIndex, `{"schemaVersion":2}`},
		"Docker without field":          {dockerSpec, bare},
		"Docker list without field":     {dockerList, `{"schemaVersion":2,"manifests":[]}`},
		"duplicate key":                 {ociImage, image(`,"layers":[]`)},
		"duplicate key, escaped":        {ociImage, image(`,"l\u0061yers":[]`)},
		"duplicate key, nested":         {ociImage, image(`,"x":{"a":1,"a":2}`)},
		"duplicate annotation":          {ociImage, image(`,"annotations":{"a":"1","a":"2"}`)},
		"case-folded key":               {ociImage, image(`,"Layers":[]`)},
		"case-folded mediaType":         {ociImage, image(`,"MediaType":"x"`)},
		"case-folded Kelvin sign":       {ociImage, image(`,"manife` + "\u017f" + `ts":[]`)},
		"case-folded in a descriptor":   {ociImage, image(`,"subject":` + desc(ociImage, "s", `,"Digest":"x"`))},
		"case-folded in a platform":     {ociIndex, `{"schemaVersion":2,"manifests":[` + desc(ociImage, "m", `,"platform":{"OS":"x"}`) + `]}`},
		"trailing garbage":              {ociImage, image("") + "x"},
		"trailing object":               {ociImage, image("") + "{}"},
		"trailing NUL":                  {ociImage, image("") + "\x00"},
		"BOM":                           {ociImage, "\ufeff" + image("")},
		"invalid UTF-8":                 {ociImage, image(`,"x":"` + "\xff" + `"`)},
		"lone surrogate":                {ociImage, image(`,"x":"\ud800"`)},
		"comment":                       {ociImage, image("") + "// x"},
		"trailing comma":                {ociImage, image(",")},
		"truncated":                     {ociImage, image("")[:50]},
		"empty":                         {ociImage, ""},
		"null":                          {ociImage, "null"},
		"list":                          {ociImage, "[]"},
		"schema 1":                      {"application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1}`},
		"schema 1, signed":              {"application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`},
		"schemaVersion 1":               {ociImage, strings.Replace(image(""), ":2", ":1", 1)},
		"schemaVersion 3":               {ociImage, strings.Replace(image(""), ":2", ":3", 1)},
		"schemaVersion 2.0":             {ociImage, strings.Replace(image(""), ":2", ":2.0", 1)},
		"schemaVersion text":            {ociImage, strings.Replace(image(""), ":2", `:"2"`, 1)},
		"schemaVersion missing":         {ociImage, `{"config":` + config() + `,"layers":[]}`},
		"config null":                   {ociImage, `{"schemaVersion":2,"config":null,"layers":[]}`},
		"layers is an object":           {ociImage, `{"schemaVersion":2,"config":` + config() + `,"layers":{}}`},
		"a layer is null":               {ociImage, `{"schemaVersion":2,"config":` + config() + `,"layers":[null]}`},
		"a layer is text":               {ociImage, `{"schemaVersion":2,"config":` + config() + `,"layers":["x"]}`},
		"annotation is a number":        {ociImage, image(`,"annotations":{"a":1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest(c.mediaType, []byte(c.payload), ManifestLimits{})
			if CodeOf(err) != CodeManifestInvalid || m != nil && err == nil {
				t.Errorf("%v for %s", err, c.payload)
			}
		})
	}
}

func TestParseManifestDescriptors(t *testing.T) {
	d := digest.FromString("x")
	for name, descriptor := range map[string]string{
		"no mediaType":     fmt.Sprintf(`{"digest":%q,"size":1}`, d),
		"empty mediaType":  fmt.Sprintf(`{"mediaType":"","digest":%q,"size":1}`, d),
		"no size":          fmt.Sprintf(`{"mediaType":"a/b","digest":%q}`, d),
		"negative size":    fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":-1}`, d),
		"fractional size":  fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":1.5}`, d),
		"exponent":         fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":1e3}`, d),
		"huge size":        fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":9223372036854775808}`, d),
		"no digest":        `{"mediaType":"a/b","size":1}`,
		"short digest":     `{"mediaType":"a/b","digest":"sha256:00","size":1}`,
		"upper-case hex":   fmt.Sprintf(`{"mediaType":"a/b","digest":"sha256:%s","size":1}`, strings.ToUpper(d.Encoded())),
		"other algorithm":  `{"mediaType":"a/b","digest":"md5:d41d8cd98f00b204e9800998ecf8427e","size":1}`,
		"relative url":     desc("a/b", "x", `,"urls":["/a"]`),
		"url with control": desc("a/b", "x", `,"urls":["https://e/\u0007"]`),
		"data differs":     desc("a/b", "x", `,"data":"eQ=="`),
		"data too long":    desc("a/b", "x", `,"data":"eHg="`),
		"data no base64":   desc("a/b", "x", `,"data":"%"`),
	} {
		t.Run(name, func(t *testing.T) {
			payload := `{"schemaVersion":2,"config":` + config() + `,"layers":[` + descriptor + `]}`
			if _, err := ParseManifest(ociImage, []byte(payload), ManifestLimits{}); CodeOf(err) != CodeManifestInvalid {
				t.Errorf("%v", err)
			}
		})
	}
}

// Only the media type exempts a layer: urls alone would let anybody push an image that nobody can scan.
func TestBlobsExemptsNonDistributable(t *testing.T) {
	urls := `,"urls":["https://example.com/x"]`
	layers := []string{
		desc(ocispec.MediaTypeImageLayerNonDistributableGzip, "1", urls), //nolint:staticcheck // deprecated, but pushed
		desc("application/vnd.oci.image.layer.nondistributable.v1.tar", "2", ""),
		desc("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "3", urls),
		desc(ocispec.MediaTypeImageLayerGzip, "4", urls), layer("5"), layer("5"),
	}
	m := parse(t, ociImage, `{"schemaVersion":2,"config":`+config()+`,"layers":[`+strings.Join(layers, ",")+`]}`)
	var got []string
	for _, b := range m.Blobs() {
		got = append(got, b.Digest.String())
	}
	want := []string{digest.FromString("{}").String(), digest.FromString("4").String(), digest.FromString("5").String()}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
}

func many(n int, item string) string { return strings.Repeat(item+",", n-1) + item }

func annotations(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":""`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// V-16: each limit at its value and one above, and none of them takes long.
func TestV16ManifestLimits(t *testing.T) {
	def := DefaultManifestLimits()
	images := func(n int) string {
		return `{"schemaVersion":2,"config":` + config() + `,"layers":[` + many(n, layer("x")) + `]}`
	}
	indexes := func(n int) string {
		return `{"schemaVersion":2,"manifests":[` + many(n, desc(ociImage, "m", "")) + `]}`
	}
	deep := func(n int) string { return image(`,"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1)) }
	sized := func(n int) string { return image("") + strings.Repeat(" ", n-len(image(""))) }
	bytes := func(n int) string { return image(`,"annotations":{"a":"` + strings.Repeat("x", n-1) + `"}`) }
	for name, c := range map[string]struct {
		mediaType string
		payload   func(int) string
		limit     int
		lim       ManifestLimits
		code      Code
	}{
		"layers":           {ociImage, images, def.Layers, def, CodeManifestInvalid},
		"children":         {ociIndex, indexes, def.Children, def, CodeManifestInvalid},
		"depth":            {ociImage, deep, def.Depth, def, CodeManifestInvalid},
		"annotations":      {ociImage, func(n int) string { return image(`,"annotations":` + annotations(n)) }, def.Annotations, def, CodeManifestInvalid},
		"annotation bytes": {ociImage, bytes, 256 << 10, ManifestLimits{AnnotationBytes: 256 << 10}, CodeManifestInvalid},
		"foreign":          {ociImage, func(n int) string { return image(`,"x":[` + many(n-2, "1") + "]") }, def.Foreign, def, CodeManifestInvalid},
		"payload":          {ociImage, sized, def.Payload, def, CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseManifest(c.mediaType, []byte(c.payload(c.limit)), c.lim); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := ParseManifest(c.mediaType, []byte(c.payload(c.limit+1)), c.lim)
			if CodeOf(err) != c.code || !strings.Contains(err.Error(), fmt.Sprint(c.limit)) ||
				!strings.Contains(err.Error(), fmt.Sprint(c.limit+1)) {
				t.Errorf("above it: %v", err)
			}
		})
	}
}

// V-16: hostile documents of 4 MiB. The figure (100 ms) is measured by BenchmarkParseHostile; here it only must not hang.
func hostile() map[string]string {
	const n = 4<<20 - 1000
	fill := func(open, item, closing string) string {
		return image(open + strings.Repeat(item, n/len(item)-1) + closing)
	}
	names := func() string {
		var b strings.Builder
		for i := 0; b.Len() < n-40; i++ {
			fmt.Fprintf(&b, `"%x":1,`, i)
		}
		return image(`,"x":{` + b.String() + `"":1}`)
	}
	return map[string]string{
		"depth":       image(`,"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
		"objects":     image(`,"x":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)),
		"layers":      image(`,"manifests":[` + many(25_000, layer("x")) + "]"),
		"annotations": image(`,"annotations":` + annotations(300_000)),
		"numbers":     fill(`,"x":[`, "1,", "1]"),
		"empty lists": fill(`,"x":[`, "[],", "1]"),
		"escapes":     fill(`,"x":"`, `\u0041`, `"`),
		"names":       names(),
	}
}

func TestV16HostileManifests(t *testing.T) {
	for name, payload := range hostile() {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := ParseManifest(ociImage, []byte(payload), ManifestLimits{})
			if err != nil && CodeOf(err) != CodeManifestInvalid {
				t.Errorf("%v", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func BenchmarkParseHostile(b *testing.B) {
	for name, payload := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseManifest(ociImage, []byte(payload), ManifestLimits{})
			}
		})
	}
}

func BenchmarkParseManifest(b *testing.B) {
	payload := []byte(image(""))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseManifest(ociImage, payload, ManifestLimits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRefusalsQuoteForeignText(t *testing.T) {
	_, err := ParseManifest("x/\x1b[31m\r\n"+strings.Repeat("y", 1000), []byte(`{"schemaVersion":2,"manifests":[]}`), ManifestLimits{})
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\r\n") || len(err.Error()) > 500 {
		t.Errorf("%q", err)
	}
}

// What is accepted means the same to encoding/json, which most clients use.
func FuzzParseManifest(f *testing.F) {
	f.Add(ociImage, []byte(image("")))
	f.Add(ociIndex, []byte(index("")))
	f.Add("", []byte(image(`,"subject":`+desc(ociImage, "s", ""))))
	f.Add(dockerSpec, []byte(strings.Replace(image(""), ociImage, dockerSpec, 1)))
	f.Add(ociImage, []byte(image(`,"Layers":[]`)))
	f.Add(ociImage, []byte("{"))
	f.Fuzz(func(t *testing.T, mediaType string, payload []byte) {
		m, err := ParseManifest(mediaType, payload, ManifestLimits{})
		if err != nil {
			if code := CodeOf(err); code != CodeManifestInvalid && code != CodeTooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		var seen struct {
			MediaType string               `json:"mediaType"`
			Config    *ocispec.Descriptor  `json:"config"`
			Layers    []ocispec.Descriptor `json:"layers"`
			Manifests []ocispec.Descriptor `json:"manifests"`
			Subject   *ocispec.Descriptor  `json:"subject"`
		}
		if err := json.Unmarshal(payload, &seen); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if seen.MediaType != "" && seen.MediaType != m.MediaType || len(seen.Layers) != len(m.Layers) ||
			len(seen.Manifests) != len(m.Manifests) || (seen.Config == nil) != (m.Config == nil) {
			t.Fatalf("read as %+v and as %+v", m, seen)
		}
		for i, l := range m.Layers {
			if l.Digest != seen.Layers[i].Digest || l.Size != seen.Layers[i].Size || l.MediaType != seen.Layers[i].MediaType {
				t.Fatalf("layer %d", i)
			}
		}
		if (m.Kind == KindImage) != (m.Config != nil) || m.Kind == KindImage && m.Manifests != nil {
			t.Fatalf("kind %s of %+v", m.Kind, m)
		}
		if again, err := ParseManifest("", payload, ManifestLimits{}); err == nil && again.MediaType != m.MediaType {
			t.Fatalf("type %s and %s", m.MediaType, again.MediaType)
		}
	})
}
