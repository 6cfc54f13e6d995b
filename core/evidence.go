package core

import "time"

// Evidence is one thing that was found to be said about a digest, with what cryptography could verify of it. It states
// facts only, for all time: whether its signer is trusted, revoked or enough is asked anew by each decision of the gate.
type Evidence struct {
	Subject string // digest the signed bytes speak of; never taken from a descriptor or an annotation
	Carrier string // digest of the manifest that brought it
	Content string // digest of the signed content (bundle, envelope or payload), readable as a blob of the same repository
	Size    int64  // bytes of that content
	// Payload is the digest of the very bytes that were signed. The same statement in another envelope has the same one, so
	// that copies of it are told from statements that are new. "" if unknown.
	Payload string
	// Arrived is when this repository first had it; the order in which evidence is looked at where not all of it can be.
	Arrived time.Time

	Format EvidenceFormat
	Kind   EvidenceKind

	// PredicateType is read from the signed statement, "" for signatures in the legacy format.
	PredicateType string
	// Annotations are the signed ones: of the statement's subject, or the optional claims of a legacy payload.
	Annotations map[string]string
	// Repository is the signed claim of where the image lies (legacy docker-reference, or subject name); advisory.
	Repository string

	// Signer is who verifiably signed; nil if nobody known did, and then Problem says why.
	Signer  *Signer
	Problem string
}

// What Problem says where it is no stranger's bytes that are wrong, so that others can say it in another language. Stored.
const (
	ProblemNotByKeys    = "none of the %d keys that are registered here has signed it"
	ProblemNoTrustRoot  = "it is signed with a certificate, and no trust root is registered here"
	ProblemNoTime       = "none of its logs and timestamp authorities vouches for the time of the signature"
	ProblemUnverifiable = "it cannot be verified"
)

// EvidenceKind tells what a piece of evidence can count as. An attestation never counts as a signature.
type EvidenceKind string

// The kinds.
const (
	EvidenceSignature   EvidenceKind = "signature"
	EvidenceAttestation EvidenceKind = "attestation"
	// EvidenceUnreadable is what looked like one of them and could not be parsed.
	EvidenceUnreadable EvidenceKind = "unreadable"
)

// EvidenceFormat is how the evidence was stored.
type EvidenceFormat string

// The formats: Sigstore bundles; cosign's older simple-signing payloads and DSSE envelopes, under tags or as referrers.
const (
	FormatBundle            EvidenceFormat = "bundle"
	FormatLegacySignature   EvidenceFormat = "legacy-signature"
	FormatLegacyAttestation EvidenceFormat = "legacy-attestation"
)

// Signer is a verified one: a key, or an identity that a certificate authority vouched for.
type Signer struct {
	// Key is the fingerprint of a public key: "sha256:" and the hex of the SHA-256 of its PKIX DER. "" for identities.
	Key string

	// TrustRoot is the name of the one that Logs and Times are of and, for an identity, whose authority vouched for it.
	// "" for a key's signature that no log or authority of a trust root speaks of.
	TrustRoot string

	// Of an identity: who vouched, and for whom.
	Issuer     string
	Subject    string            // subject alternative name: e-mail address or URI
	Extensions map[string]string // of Fulcio, by their names in lower camel case: sourceRepositoryURI, runnerEnvironment ..

	// SCT: a certificate transparency log of the trust root promised to list the certificate.
	SCT bool
	// Logs are the distinct transparency logs (hex ids) whose entry for these very bytes was verified.
	Logs []string
	// Times are when the signature verifiably existed already: by a log's promise or a timestamp authority. Empty for a
	// bare key signature, whose time nobody knows.
	Times []SignedTime
}

// SignedTime is a verified point in time, and who vouched for it.
type SignedTime struct {
	Time   time.Time
	Source TimeSource
	By     string // log id or authority; distinct values are distinct parties
}

// TimeSource says who vouched for a time.
type TimeSource string

// The sources of time.
const (
	TimeLog       TimeSource = "log"       // integrated time of a transparency log entry
	TimeAuthority TimeSource = "authority" // RFC 3161 timestamp
)
