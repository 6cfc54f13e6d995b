// Package trust turns what a manifest brings along (cosign signatures, attestations, SBOMs) into core.Evidence: who
// verifiably said what about which digest. It states facts; whether they are enough is for the gate to say.
//
// Read classify.go first (is this manifest a trust artifact?), then read.go (what is in it), verifier.go (who signed
// it). bundle.go and legacy.go know the two families of formats, facts.go what logs, authorities and certificates vouch
// for, key.go and root.go the registered material, statement.go and content.go what was signed. sign.go and private.go
// make what the rest reads.
//
// It may import core and registry. Cryptography is sigstore-go's. Nothing here opens a connection or reads the
// environment; an error, a panic or a doubt anywhere means: no signer.
package trust
