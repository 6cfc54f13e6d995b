package registry

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifestDocument is a manifest of any type as JSON has it.
type manifestDocument struct {
	schemaVersion int64
	mediaType     string
	artifactType  string
	config        *ocispec.Descriptor
	layers        []ocispec.Descriptor
	manifests     []ocispec.Descriptor
	subject       *ocispec.Descriptor
	annotations   map[string]string

	// The member is there, even if it is null.
	hasConfig, hasLayers, hasManifests bool
}

// manifestDecoder walks through the tokens once, so that every limit holds before anything is built. jsontext refuses
// duplicate names and invalid UTF-8 by itself.
type manifestDecoder struct {
	dec             *jsontext.Decoder
	lim             ManifestLimits
	annotations     int
	annotationBytes int
	foreign         int
}

func decodeManifest(payload []byte, lim ManifestLimits) (*manifestDocument, error) {
	d := &manifestDecoder{dec: jsontext.NewDecoder(bytes.NewBuffer(payload)), lim: lim}
	doc, err := d.document()
	if err == nil {
		err = d.end()
	}
	var e *Error
	switch {
	case err == nil:
		return doc, nil
	case errors.As(err, &e):
		return nil, e
	}
	return nil, d.syntaxError(err)
}

// end makes sure that nothing follows the manifest.
func (d *manifestDecoder) end() error {
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return manifestInvalid("The manifest is followed by more data (at byte %d). Push the JSON object alone.",
			d.dec.InputOffset())
	}
	return nil
}

// syntaxError says what kind of error it is, in our words: the decoder's would quote the payload.
func (d *manifestDecoder) syntaxError(err error) *Error {
	at := d.dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = syntactic.ByteOffset
	}
	what := "it does not follow the grammar, or has invalid UTF-8, or begins with a byte order mark"
	if errors.Is(err, jsontext.ErrDuplicateName) {
		what = "an object has the same member twice"
	}
	return manifestInvalid("The manifest is not strict JSON (RFC 7493): %s (at byte %d). Mend the program that wrote it.",
		what, at)
}

// knownNames are the members that have a meaning in one kind of object.
type knownNames []string

// misspelt returns the known name that name equals but for case. Many JSON readers take the one for the other.
func (k knownNames) misspelt(name string) (string, bool) {
	for _, known := range k {
		if name == known {
			return "", false
		}
		if strings.EqualFold(name, known) {
			return known, true
		}
	}
	return "", false
}

// document reads the outermost object.
func (d *manifestDecoder) document() (*manifestDocument, error) {
	doc := &manifestDocument{}
	known := knownNames{
		"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
	}
	err := d.object("manifest", known, func(name string) (err error) {
		switch name {
		case "schemaVersion":
			doc.schemaVersion, err = d.integer(name)
		case "mediaType":
			doc.mediaType, err = d.text(name)
		case "artifactType":
			doc.artifactType, err = d.text(name)
		case "config":
			doc.hasConfig = true
			doc.config, err = d.descriptor(name)
		case "layers":
			doc.hasLayers = true
			doc.layers, err = d.descriptors(name, d.lim.Layers, "Squash layers")
		case "manifests":
			doc.hasManifests = true
			doc.manifests, err = d.descriptors(name, d.lim.Children, "Split the index")
		case "subject":
			doc.subject, err = d.descriptor(name)
		case "annotations":
			doc.annotations, err = d.annotationMap()
		default:
			err = d.skip()
		}
		return err
	})
	return doc, err
}

// open reads the token that begins an object or array; false means that there is null instead.
func (d *manifestDecoder) open(what string, kind jsontext.Kind) (bool, error) {
	found := d.dec.PeekKind()
	if _, err := d.dec.ReadToken(); err != nil {
		return false, err
	}
	if found == 'n' && what != "manifest" {
		return false, nil
	}
	if found != kind {
		word := "an object"
		if kind == '[' {
			word = "a list"
		}
		return false, manifestInvalid("In the manifest, %q must be %s.", what, word)
	}
	return true, d.checkDepth()
}

func (d *manifestDecoder) checkDepth() error {
	if depth := d.dec.StackDepth(); depth > d.lim.Depth {
		return manifestInvalid("The manifest is nested %d levels deep and more; the limit is %d. Flatten it.",
			depth, d.lim.Depth)
	}
	return nil
}

// object reads an object; member is called for each name and must read its value. known is nil where names are free.
func (d *manifestDecoder) object(what string, known knownNames, member func(name string) error) error {
	ok, err := d.open(what, '{')
	if err != nil || !ok {
		return err
	}
	for d.dec.PeekKind() == '"' {
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if meant, yes := known.misspelt(name); yes {
			return manifestInvalid("The manifest has a member %s, which some programs take for %q. Spell it %q.",
				quoted(name), meant, meant)
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err = d.dec.ReadToken() // the end, or a syntax error
	return err
}

// skip reads a value that means nothing to us.
func (d *manifestDecoder) skip() error {
	outside := d.dec.StackDepth()
	for {
		if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		if err := d.countForeign(); err != nil {
			return err
		}
		if d.dec.StackDepth() == outside {
			return nil
		}
		if err := d.checkDepth(); err != nil {
			return err
		}
	}
}

// countForeign bounds what else costs memory: the decoder remembers all names of an object to find duplicates.
func (d *manifestDecoder) countForeign() error {
	if d.foreign++; d.foreign > d.lim.Foreign {
		return manifestInvalid("The manifest has %d JSON tokens and more outside of the fields of the specification; the "+
			"limit is %d. Move them into a layer.", d.foreign, d.lim.Foreign)
	}
	return nil
}

// text reads a string; null counts as "".
func (d *manifestDecoder) text(what string) (string, error) {
	token, err := d.dec.ReadToken()
	switch {
	case err != nil:
		return "", err
	case token.Kind() == 'n':
		return "", nil
	case token.Kind() != '"':
		return "", manifestInvalid("In the manifest, %s must be a string.", quoted(what))
	}
	return token.String(), nil
}

// integer reads a number that is written as an integer of 64 bits: 1e3 or 2.0 means different things to different readers.
func (d *manifestDecoder) integer(what string) (int64, error) {
	value, err := d.dec.ReadValue()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || string(value) == "-0" {
		return 0, manifestInvalid("In the manifest, %q must be an integer of at most 63 bits.", what)
	}
	return n, nil
}

// descriptors reads a list of them, and counts on beyond the limit to say how many there are.
func (d *manifestDecoder) descriptors(what string, limit int, remedy string) ([]ocispec.Descriptor, error) {
	ok, err := d.open(what, '[')
	if err != nil || !ok {
		return nil, err
	}
	var out []ocispec.Descriptor
	n := 0
	for ; d.dec.PeekKind() != ']'; n++ {
		if n >= limit {
			if err := d.dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		desc, err := d.descriptor(what)
		if err != nil {
			return nil, err
		}
		if desc == nil {
			return nil, manifestInvalid("In the manifest, an entry of %q is null. Leave it out.", what)
		}
		out = append(out, *desc)
	}
	if n > limit {
		return nil, manifestInvalid("The manifest has %d %s; the limit is %d. %s.", n, what, limit, remedy)
	}
	_, err = d.dec.ReadToken()
	return out, err
}

// descriptor reads a content descriptor (OCI image specification, "OCI Content Descriptors"); nil for null.
func (d *manifestDecoder) descriptor(what string) (*ocispec.Descriptor, error) {
	if d.dec.PeekKind() == 'n' {
		return nil, d.skip()
	}
	var out ocispec.Descriptor
	var digest string
	hasSize, hasData := false, false
	known := knownNames{"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"}
	err := d.object(what, known, func(name string) (err error) {
		switch name {
		case "mediaType":
			out.MediaType, err = d.text(name)
		case "digest":
			digest, err = d.text(name)
		case "size":
			hasSize = true
			out.Size, err = d.integer(name)
		case "urls":
			out.URLs, err = d.texts(name)
		case "annotations":
			out.Annotations, err = d.annotationMap()
		case "data":
			hasData = d.dec.PeekKind() == '"'
			out.Data, err = d.base64(name)
		case "artifactType":
			out.ArtifactType, err = d.text(name)
		case "platform":
			out.Platform, err = d.platform(name)
		default:
			err = d.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if out.Digest, err = ParseDigest(digest); err != nil {
		return nil, manifestInvalid("In the manifest, %q has an invalid digest: sha256:<64 hex digits> or "+
			"sha512:<128 hex digits> is one, in lower case.", what)
	}
	return &out, checkDescriptor(what, &out, hasSize, hasData)
}

func checkDescriptor(what string, d *ocispec.Descriptor, hasSize, hasData bool) error {
	switch {
	case d.MediaType == "":
		return manifestInvalid("In the manifest, the mediaType of %q is missing.", what)
	case !hasSize || d.Size < 0:
		return manifestInvalid("In the manifest, the size of %q is missing or negative.", what)
	case hasData && (int64(len(d.Data)) != d.Size || d.Digest.Algorithm().FromBytes(d.Data) != d.Digest):
		// Programs may use the embedded bytes instead of the content, so they must be the same.
		return manifestInvalid("In the manifest, the data embedded in %q does not have its size and digest.", what)
	}
	for _, raw := range d.URLs {
		if u, err := url.Parse(raw); err != nil || !u.IsAbs() {
			return manifestInvalid("In the manifest, %q has a url that is not an absolute URL.", what)
		}
	}
	return nil
}

// annotationMap reads annotations and counts them into the limits of the whole manifest.
func (d *manifestDecoder) annotationMap() (map[string]string, error) {
	var out map[string]string
	err := d.object("annotations", nil, func(name string) error {
		value, err := d.text(name)
		if err != nil {
			return err
		}
		d.annotations++
		d.annotationBytes += len(name) + len(value)
		switch {
		case d.annotations > d.lim.Annotations:
			return manifestInvalid("The manifest has %d annotations and more; the limit is %d. Move them into a layer.",
				d.annotations, d.lim.Annotations)
		case d.annotationBytes > d.lim.AnnotationBytes:
			return manifestInvalid("The manifest's annotations have %d bytes and more; the limit is %d. Move them into "+
				"a layer.", d.annotationBytes, d.lim.AnnotationBytes)
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[name] = value
		return nil
	})
	return out, err
}

// texts reads a list of strings.
func (d *manifestDecoder) texts(what string) ([]string, error) {
	ok, err := d.open(what, '[')
	if err != nil || !ok {
		return nil, err
	}
	var out []string
	for d.dec.PeekKind() != ']' {
		s, err := d.text(what)
		if err == nil {
			err = d.countForeign()
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	_, err = d.dec.ReadToken()
	return out, err
}

func (d *manifestDecoder) base64(what string) ([]byte, error) {
	s, err := d.text(what)
	if err != nil || s == "" {
		return nil, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, manifestInvalid("In the manifest, %q is not base64.", what)
	}
	return data, nil
}

func (d *manifestDecoder) platform(what string) (*ocispec.Platform, error) {
	if d.dec.PeekKind() == 'n' {
		return nil, d.skip()
	}
	var out ocispec.Platform
	known := knownNames{"architecture", "os", "os.version", "os.features", "variant"}
	err := d.object(what, known, func(name string) (err error) {
		switch name {
		case "architecture":
			out.Architecture, err = d.text(name)
		case "os":
			out.OS, err = d.text(name)
		case "os.version":
			out.OSVersion, err = d.text(name)
		case "os.features":
			out.OSFeatures, err = d.texts(name)
		case "variant":
			out.Variant, err = d.text(name)
		default:
			err = d.skip()
		}
		return err
	})
	return &out, err
}
