package store

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

const (
	maxGrants  = 64
	maxPattern = 255
)

// CheckGrants refuses grants that nothing could match or that are too many. pointer is where they stand in the body.
// What a pattern means is written in core/access.
func CheckGrants(pointer string, grants []core.Grant) error {
	if len(grants) > maxGrants {
		return core.Invalid(pointer, "there are %d entries; the limit is %d: a pattern such as ** stands for many repositories", len(grants), maxGrants)
	}
	for i, g := range grants {
		at := pointer + "/" + strconv.Itoa(i)
		if !validPattern(g.Repository) {
			return core.Invalid(at+"/repository", "a pattern is a repository name in which ** stands for anything and * for a part of one path element, at most %d bytes", maxPattern)
		}
		if len(g.Actions) == 0 {
			return core.Invalid(at+"/actions", "name at least one of the actions pull, push, delete, sign, scan")
		}
		for _, a := range g.Actions {
			if !slices.Contains(core.RepositoryActions(), a) {
				return core.Invalid(at+"/actions", "the actions are pull, push, delete, sign, scan")
			}
		}
	}
	return nil
}

func validPattern(s string) bool {
	if s == "" || len(s) > maxPattern || strings.Contains(s, "***") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("*._/-", c) < 0 {
			return false
		}
	}
	return true
}

// grantsText is how grants stand in a row.
func grantsText(grants []core.Grant) string {
	if len(grants) == 0 {
		return "[]"
	}
	return detail(grants)
}

// parseGrants is never nil: what cannot be read allows nothing.
func parseGrants(text string) ([]core.Grant, error) {
	grants := []core.Grant{}
	if err := json.Unmarshal([]byte(text), &grants); err != nil {
		return []core.Grant{}, err
	}
	return grants, nil
}
