package sbom

// spdxPackage reads an element of "packages" (SPDX 2.2 and 2.3, clause 7).
func (d *reader) spdxPackage() error {
	var purl, declared, concluded string
	err := d.object(func(name string) error {
		switch name {
		case "externalRefs":
			return d.array(func() error { return d.externalRef(&purl) })
		case "licenseDeclared":
			return d.text(&declared)
		case "licenseConcluded":
			return d.text(&concluded)
		}
		return d.json.SkipValue()
	})
	if err != nil {
		return err
	}
	return d.add(purl, said(concluded, declared))
}

// externalRef takes the locator of a reference to a package manager: of several, the first.
func (d *reader) externalRef(purl *string) error {
	var kind, locator string
	err := d.object(func(name string) error {
		switch name {
		case "referenceType":
			return d.text(&kind)
		case "referenceLocator":
			return d.text(&locator)
		}
		return d.json.SkipValue()
	})
	if kind == "purl" && *purl == "" {
		*purl = locator
	}
	return err
}

// said is the first licence that says anything: the two words stand for "nobody looked" and "nothing was found".
func said(licences ...string) string {
	for _, l := range licences {
		if l != "" && l != "NOASSERTION" && l != "NONE" {
			return l
		}
	}
	return ""
}

// spdxElement reads an element of "@graph" (SPDX 3.0). Licences are relationships there, which would need the whole graph.
func (d *reader) spdxElement() error {
	var kind, purl, identifier string
	err := d.object(func(name string) error {
		switch name {
		case "type", "@type":
			return d.text(&kind)
		case "software_packageUrl":
			return d.text(&purl)
		case "externalIdentifier":
			return d.array(func() error { return d.externalIdentifier(&identifier) })
		}
		return d.json.SkipValue()
	})
	if err != nil || kind != "software_Package" {
		return err
	}
	if purl == "" {
		purl = identifier
	}
	return d.add(purl, "")
}

func (d *reader) externalIdentifier(purl *string) error {
	var kind, identifier string
	err := d.object(func(name string) error {
		switch name {
		case "externalIdentifierType":
			return d.text(&kind)
		case "identifier":
			return d.text(&identifier)
		}
		return d.json.SkipValue()
	})
	if kind == "packageUrl" && *purl == "" {
		*purl = identifier
	}
	return err
}
