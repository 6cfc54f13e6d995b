package trust

// Limits of what is looked at. They bound work that a stranger can cause by pushing.
const (
	// MaxArtifact bounds config and layers of a trust artifact together, and so each bundle and envelope.
	MaxArtifact = 16 << 20
	// MaxItems is how many signatures of one manifest are read, the last ones.
	MaxItems = 50

	maxConfig      = 1 << 20  // of legacy signatures: lists the digest of each layer
	maxPayload     = 1 << 20  // legacy simple-signing payload
	maxSignature   = 1 << 20  // one signature, decoded
	maxCertificate = 16 << 10 // one certificate, DER
	maxChain       = 10       // certificates in one bundle
	maxEntries     = 32       // transparency log entries in one bundle
	maxEntryBody   = 1 << 20  // canonicalized body of one entry
	maxProofHashes = 64       // of an inclusion proof: a log has fewer than 2^64 entries
	maxTimestamps  = 10       // RFC 3161 timestamps in one bundle
	// maxTimestamp bounds the key sizes of the certificates in a timestamp, and so what checking it can cost.
	maxTimestamp  = 16 << 10
	maxSubjects   = 1024 // of a statement; the same number as sigstore-go's
	maxDigests    = 32   // of a subject; likewise
	maxSignatures = 10   // in one DSSE envelope of the legacy format
	maxTrustRoot  = 1 << 20

	maxAnnotations     = 64
	maxAnnotationBytes = 16 << 10 // names and values of one subject's annotations
	maxName            = 512      // subject name, docker-reference

	bundleDepth, bundleTokens       = 24, 20_000
	entryDepth, entryTokens         = 24, 5_000
	subjectDepth, subjectTokens     = 12, 1_000
	statementDepth, statementTokens = 128, 8 << 20 // a predicate may be a large SBOM
)
