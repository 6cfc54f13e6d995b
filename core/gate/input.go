package gate

import "github.com/hallmarkhub/hallmark/core"

// Input is all that a decision depends on, besides the time. Whoever fills it takes policies, registrations and evidence
// from one moment, and leaves out nothing that Set.Needs names. What could not be had is left nil, and refused.
type Input struct {
	Repository string // in full
	Digest     string // what the request was resolved to; tags are not decided on
	Host       string // as clients name the hub; for the commands of a refusal and for signed names of repositories
	Tag        string // that was asked for, if any: policies that only warn may be bound to tags

	// Type is image, index, helm, wasm or other, from the bytes of the manifest. If it is not known, every policy applies.
	Type string
	// TrustArtifact is set when the manifest or blob is one of signatures, attestations and SBOMs by its structure. They
	// are readable for whoever may pull, or nobody could verify anything.
	TrustArtifact bool

	Policies   *Set        // nil refuses
	Registered *Registered // nil refuses

	Evidence []core.Evidence // of Digest
	Indexes  []Related       // that list Digest in the same repository, nested ones too
	Children []Related       // that Digest lists, nested ones too; nil: not known, which refuses where it matters
	Scans    []core.Scan     // what scanners found last in Digest
	// Exceptions are those of the project, and of no other one.
	Exceptions *Exceptions
	Pending    bool // more has arrived than has been verified

	// Statement reads the signed statement of an attestation: the bytes whose digest is Payload. It is called only for
	// evidence of trusted signers, and only where a rule looks into it.
	Statement func(content string) ([]byte, error)

	Who    Who
	Access Access
}

// Related is another manifest of the same repository, and what is said about it.
type Related struct {
	Digest   string
	Runs     bool // an image that can be run, of what an index lists: no index, and nothing for an unknown platform
	Evidence []core.Evidence
	Scans    []core.Scan
}

// Access is what a request would read. The zero value is none that anybody is exempt for.
type Access string

// The kinds of access.
const (
	AccessManifest Access = "manifest" // GET and HEAD of a manifest, by tag or digest
	AccessBlob     Access = "blob"     // a layer or config
)

// Who is what exemptions depend on. It is made of the principal's permissions as they are now, never of a header.
type Who struct {
	Robot string // full name of a robot, robot$project+name; else ""
	Push  bool   // may push to the repository
	Sign  bool   // may push signatures to it
	Job   string // kind of the job whose one-off token names this very repository and digest; else ""
}
