package gate

import (
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Policy is what must be true of content that is pulled, ready to be asked. It is made by Parse or Baseline, never changes
// and is safe for concurrent use. The zero value refuses everything.
type Policy struct {
	name     string
	project  string // "": of the hub; no project can weaken it
	mode     Mode
	any      bool // one rule is enough
	priority int

	repositories, except, tags []glob
	types                      []string
	index                      IndexRule
	formats                    map[core.EvidenceFormat]bool
	maxBytes                   int64
	statements                 int // looked into at most, per rule and subject

	authorities []authority
	rules       []rule
	vulns       *vulnerabilityRule // vetoes, whatever the rules above let count; nil: not asked
	content     *contentRule       // likewise
	principals  []exemptPrincipal
	digests     []exemptDigest

	broken error // why it refuses everything
	sound  bool
}

// Mode says what a policy does to content that does not satisfy it.
type Mode string

// The modes. ModeOff is the baseline of a project that has lowered it; a policy cannot be written with it.
const (
	ModeEnforce Mode = "enforce"
	ModeWarn    Mode = "warn"
	ModeAudit   Mode = "audit"
	ModeOff     Mode = "off"
)

// IndexRule says how an index and what it lists vouch for each other.
type IndexRule string

// The index rules. Covered: what a passing index lists passes, since signing the index signs their digests. Self: each
// digest stands for itself. Each: an index passes only if everything that it lists does.
const (
	IndexCovered IndexRule = "covered"
	IndexSelf    IndexRule = "self"
	IndexEach    IndexRule = "each"
)

// rule is one kind of evidence that is wanted, and from whom.
type rule struct {
	name        string
	attestation bool
	types       []string // of attestations: short names or URIs, one of which must match
	all, any    []int    // indexes of authorities
	count       int      // how many of any
	maxAge      time.Duration
	annotations map[string]string
	bind        binding
	fields      []fieldRule
	cel         *expression
}

// binding says by which signed claim evidence is bound to its repository.
type binding string

const (
	bindOff        binding = "off"
	bindLegacy     binding = "legacy-claim"
	bindAnnotation binding = "annotation"
)

// RepositoryAnnotation is the signed annotation that binds a signature to a repository (cosign sign -a).
const RepositoryAnnotation = "hallmark.repository"

// documents reports whether the statement itself must be read.
func (r *rule) documents() bool { return len(r.fields) > 0 || r.cel != nil }

func (r *rule) needs() int { return len(r.all) + r.count }

func (r *rule) covers(predicateType string) bool {
	for _, t := range r.types {
		if core.MatchPredicate(t, predicateType) {
			return true
		}
	}
	return false
}

// authority is somebody who can vouch: one key, one of several identities, or anybody who is registered.
type authority struct {
	place
	name       string
	registered bool
	key        *keyAuthority
	identities []identity
	sct        bool
	logs       int // distinct transparency logs at least
	tsa        int // distinct timestamp authorities
	times      int // distinct sources of time of any kind
}

type keyAuthority struct {
	ref                 string // name of a registered key, or
	pem, hash           string
	fingerprint         string
	notBefore, notAfter time.Time
}

// timed reports whether evidence of the authority always comes with a time that can be believed.
func (a *authority) timed() bool { return a.logs > 0 || a.tsa > 0 || a.times > 0 }

// exemptPrincipal lets somebody read what the policy refuses, for some kinds of access.
type exemptPrincipal struct {
	robot      string
	permission core.Action
	job        string
	access     []Access
}

func (x *exemptPrincipal) covers(who *Who, access Access) bool {
	if !slices.Contains(x.access, access) {
		return false
	}
	switch {
	case x.robot != "":
		return who.Robot == x.robot
	case x.job != "":
		return who.Job == x.job
	case x.permission == core.ActionPush:
		return who.Push
	case x.permission == core.ActionSign:
		return who.Sign || who.Push
	}
	return false
}

type exemptDigest struct {
	digest  string
	expires time.Time
	reason  string
	place
}

// Name, Project (empty for one of the hub) and Mode of the policy.
func (p *Policy) Name() string    { return p.name }
func (p *Policy) Project() string { return p.project }
func (p *Policy) Mode() Mode      { return p.mode }

// PublicKey is a key that stands in a policy itself: who checks evidence must know of it.
type PublicKey struct {
	Authority   string
	PEM         string
	Hash        string // sha256, sha384 or sha512
	Fingerprint string
}

// Keys are the public keys that stand in the policy itself.
func (p *Policy) Keys() []PublicKey {
	var keys []PublicKey
	for _, a := range p.authorities {
		if a.key != nil && a.key.pem != "" {
			keys = append(keys, PublicKey{a.name, a.key.pem, a.key.hash, a.key.fingerprint})
		}
	}
	return keys
}

// References are the names of registered keys that the policy means.
func (p *Policy) References() []string {
	var names []string
	for _, a := range p.authorities {
		if a.key != nil && a.key.ref != "" {
			names = append(names, a.key.ref)
		}
	}
	return names
}

// TrustRoots are the names of those that the policy relies on.
func (p *Policy) TrustRoots() []string {
	var roots []string
	for _, a := range p.authorities {
		for _, i := range a.identities {
			if !slices.Contains(roots, i.root) {
				roots = append(roots, i.root)
			}
		}
	}
	return roots
}

// Broken stands for a stored policy that could not be read: what it wanted is unknown, so it refuses everything that it
// could have meant.
func Broken(name, project string, err error) *Policy {
	p := &Policy{name: name, project: project, mode: ModeEnforce, broken: err}
	if project != "" {
		p.repositories = []glob{{prefix: project + "/", rest: true}}
	}
	return p
}
