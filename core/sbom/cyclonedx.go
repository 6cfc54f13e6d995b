package sbom

import (
	"errors"
	"strings"
)

// metadata reads what the document is about: it is a component itself.
func (d *reader) metadata() error {
	return d.object(func(name string) error {
		if name == "component" {
			return d.component(1)
		}
		return d.json.SkipValue()
	})
}

// component reads a component and those inside of it.
func (d *reader) component(depth int) error {
	if depth > maxDepth {
		return errors.New("the document nests components too deeply")
	}
	var kind, purl string
	var licences []string
	err := d.object(func(name string) error {
		switch name {
		case "type":
			return d.text(&kind)
		case "purl":
			return d.text(&purl)
		case "licenses":
			return d.array(func() error { return d.licence(&licences) })
		case "components":
			return d.array(func() error { return d.component(depth + 1) })
		}
		return d.json.SkipValue()
	})
	if err != nil || kind == "file" {
		return err
	}
	return d.add(purl, joined(licences))
}

// licence reads one choice of a licence: an expression, or a licence by its SPDX id or its name.
func (d *reader) licence(licences *[]string) error {
	var expression, id, name string
	err := d.object(func(member string) error {
		switch member {
		case "expression":
			return d.text(&expression)
		case "license":
			return d.object(func(member string) error {
				switch member {
				case "id":
					return d.text(&id)
				case "name":
					return d.text(&name)
				}
				return d.json.SkipValue()
			})
		}
		return d.json.SkipValue()
	})
	// More than can be shown is not kept: joined drops a list that is too long.
	if l := said(expression, id, name); l != "" && len(*licences) <= maxLicences {
		*licences = append(*licences, l)
	}
	return err
}

// joined is several licences as one expression.
func joined(licences []string) string {
	if len(licences) < 2 {
		return strings.Join(licences, "")
	}
	for i, l := range licences {
		if strings.Contains(l, " ") {
			licences[i] = "(" + l + ")"
		}
	}
	return strings.Join(licences, " AND ")
}
