package gate

import (
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/sbom"
)

// Exceptions are those of one project, ready to be asked. It is immutable; nil has none.
type Exceptions struct {
	byID map[string][]exception
}

type exception struct {
	core.Exception
	purl *core.Package
}

// NewExceptions makes a snapshot. What cannot be read excepts nothing.
func NewExceptions(all []core.Exception) *Exceptions {
	x := &Exceptions{byID: map[string][]exception{}}
	for i := range all {
		one := exception{Exception: all[i]}
		if one.PURL != "" {
			p, err := sbom.ParsePURL(one.PURL)
			if err != nil {
				continue
			}
			one.purl = &p
		}
		id := folded(one.Vulnerability)
		x.byID[id] = append(x.byID[id], one)
	}
	return x
}

// folded is an id of a vulnerability as ids are compared: nobody means two by cve-1 and CVE-1. Aliases that somebody imported
// are no ids here: who imports a list has not answered for anything.
func folded(id string) string { return strings.ToUpper(id) }

// Covering is the exception that covers a finding in a repository, of several the one that does longest; nil if none does.
func (x *Exceptions) Covering(f *core.Finding, repository string, now time.Time) *core.Exception {
	return x.covering(&found{Finding: f}, repository, now)
}

func (x *Exceptions) covering(f *found, repository string, now time.Time) (last *core.Exception) {
	if x == nil {
		return nil
	}
	all := x.byID[folded(f.ID)]
	for i := range all {
		one := &all[i]
		if now.Before(one.ExpiresAt) && (one.Repository == "" || one.Repository == repository) && (one.purl == nil || f.in(one.purl)) &&
			(last == nil || one.ExpiresAt.After(last.ExpiresAt)) {
			last = &one.Exception
		}
	}
	return last
}

// lets reports whether an exception is about a finding in a repository, and until when.
func (x *Exceptions) lets(f *found, repository string, now time.Time) leave {
	if one := x.covering(f, repository, now); one != nil {
		return leave{span: span{true, one.ExpiresAt}, by: PassException, exception: one.ID}
	}
	return leave{}
}
