package trivy

import (
	"encoding/json"
	"fmt"

	"github.com/package-url/packageurl-go"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// maxString bounds names, versions and package URLs of components. What is longer is none of them.
const maxString = 4 << 10

// document is what is looked at of an SBOM before Trivy sees it.
type document struct {
	Format     string      `json:"bomFormat"`
	Components []component `json:"components"`
}

type component struct {
	Type       string            `json:"type"`
	Ref        string            `json:"bom-ref"`
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	PURL       string            `json:"purl"`
	Components []json.RawMessage `json:"components"`
}

func hostile(format string, args ...any) error {
	return &image.Error{Code: "hostile", Message: fmt.Sprintf(format, args...)}
}

// look refuses what Trivy would pass over or misunderstand, and says why what it will find cannot be all there is.
func look(raw []byte, limit int) (incomplete string, err error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return "", hostile("The SBOM cannot be read: %v", err)
	}
	if d.Format != "CycloneDX" {
		return "", &image.Error{Code: "unsupported", Message: "The SBOM is not CycloneDX."}
	}
	if len(d.Components) > limit {
		return "", &image.Error{Code: "limit", Message: fmt.Sprintf("The SBOM has more than %d components. Raise limits.components if you trust it.", limit)}
	}
	refs, systems, nameless, nested := make(map[string]bool, len(d.Components)), 0, 0, 0
	for i := range d.Components {
		c := &d.Components[i]
		if err := c.check(refs); err != nil {
			return "", err
		}
		switch {
		case c.Type == "operating-system":
			systems++
		case c.PURL == "" && (c.Type == "library" || c.Type == "framework"):
			nameless++
		}
		nested += len(c.Components)
	}
	switch {
	case systems > 1:
		return "", hostile("The SBOM names %d distributions.", systems)
	case nested > 0:
		return fmt.Sprintf("%d components of the SBOM are inside others, where they are not matched.", nested), nil
	case nameless > 0:
		return fmt.Sprintf("%d components of the SBOM have no package URL, so that they cannot be matched.", nameless), nil
	}
	return "", nil
}

func (c *component) check(refs map[string]bool) error {
	if max(len(c.Ref), len(c.Name), len(c.Version), len(c.PURL)) > maxString {
		return hostile("A component of the SBOM has a name, version or package URL of more than %d bytes.", maxString)
	}
	if c.Ref != "" && refs[c.Ref] {
		return hostile("Two components of the SBOM have the bom-ref %.100q.", c.Ref)
	}
	refs[c.Ref] = true
	if c.PURL == "" {
		return nil
	}
	if _, err := packageurl.FromString(c.PURL); err != nil {
		return hostile("%.100q in the SBOM is no package URL.", c.PURL)
	}
	return nil
}
