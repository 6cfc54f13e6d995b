package gate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// maxText bounds names of issuers, subjects and the like.
const maxText = 1024

// identity is a compiled condition on certificates: who vouched, for whom, and what else stands in them.
type identity struct {
	root, issuer string
	subject      string
	pattern      *regexp.Regexp // if set, instead of subject
	prefix       string         // with which every subject begins that pattern covers
	extensions   map[string]string
}

// extensionNames are those that Fulcio writes, as core.Signer has them.
func extensionNames() []string {
	return []string{"buildConfigDigest", "buildConfigURI", "buildSignerDigest", "buildSignerURI", "buildTrigger", "githubWorkflowName",
		"githubWorkflowRef", "githubWorkflowRepository", "githubWorkflowSHA", "githubWorkflowTrigger", "runInvocationURI",
		"runnerEnvironment", "sourceRepositoryDigest", "sourceRepositoryIdentifier", "sourceRepositoryOwnerIdentifier",
		"sourceRepositoryOwnerURI", "sourceRepositoryRef", "sourceRepositoryURI", "sourceRepositoryVisibilityAtSigning"}
}

// newIdentity compiles a condition and refuses one that anybody could meet, or nobody.
func newIdentity(root, issuer, subject, pattern string, extensions map[string]string) (identity, error) {
	i := identity{root: root, issuer: issuer, subject: subject, extensions: maps.Clone(extensions)}
	if err := plainIssuer(issuer); err != nil {
		return i, err
	}
	switch {
	case subject == "" && pattern == "":
		return i, errors.New("an identity needs a subject or a subjectRegex: without one, anybody whom the issuer knows could sign")
	case subject != "" && pattern != "":
		return i, errors.New("an identity has a subject or a subjectRegex, not both")
	case strings.ContainsAny(subject, "*\n\r"):
		return i, errors.New("a subject is compared as it is: for patterns use subjectRegex")
	case len(subject) > maxText:
		return i, fmt.Errorf("a subject has at most %d characters", maxText)
	}
	for name, value := range extensions {
		if !slices.Contains(extensionNames(), name) {
			return i, fmt.Errorf("no certificate has an extension %s: known are %s", quoted(name), strings.Join(extensionNames(), ", "))
		}
		if value == "" || len(value) > maxText {
			return i, fmt.Errorf("the extension %s needs a value of at most %d characters", name, maxText)
		}
	}
	if pattern == "" {
		return i, nil
	}
	re, err := subjectPattern(pattern)
	if err != nil {
		return i, errors.New("subjectRegex: " + err.Error())
	}
	i.pattern = re
	// Of the pattern as it was written: anchored ones tell no prefix.
	i.prefix, _ = regexp.MustCompile(pattern).LiteralPrefix()
	return i, nil
}

func plainIssuer(issuer string) error {
	scheme, rest, ok := strings.Cut(issuer, "://")
	switch {
	case issuer == "":
		return errors.New("an identity needs its issuer: the same name from another one is somebody else")
	case !ok || scheme != "https" && scheme != "http" || rest == "" || len(issuer) > maxText:
		return errors.New("an issuer is the URL that stands in the certificate, such as https://token.actions.githubusercontent.com")
	case strings.ContainsAny(issuer, "*\\ \t\r\n"):
		return errors.New("an issuer is compared as it is: patterns are not possible here")
	}
	return nil
}

// same reports whether two conditions are one, written twice.
func (i *identity) same(o *identity) bool {
	return i.root == o.root && i.issuer == o.issuer && i.subject == o.subject && maps.Equal(i.extensions, o.extensions) &&
		(i.pattern == nil) == (o.pattern == nil) && (i.pattern == nil || i.pattern.String() == o.pattern.String())
}

// covers reports whether the condition holds for a verified signer.
func (i *identity) covers(s *core.Signer) bool {
	if s.Key != "" || s.Issuer != i.issuer || s.TrustRoot != i.root || s.Subject == "" {
		return false
	}
	if i.pattern == nil && s.Subject != i.subject {
		return false
	}
	if i.pattern != nil && (!strings.HasPrefix(s.Subject, i.prefix) || !i.pattern.MatchString(s.Subject)) {
		return false
	}
	for name, value := range i.extensions {
		if s.Extensions[name] != value {
			return false
		}
	}
	return true
}
