package trust

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmarkhub/hallmark/core"
)

// facts are what the logs and authorities of one trust root say about a signature.
type facts struct {
	logs      []string          // ids of distinct logs with an entry for it
	times     []core.SignedTime // of distinct parties
	certified bool
	// certificate is that of the signer, once confirmed.
	certificate certificate.Summary
}

func (f *facts) none() bool { return len(f.logs) == 0 && len(f.times) == 0 }

// facts asks each log and authority of the trust root by itself. An entry of one of its logs that does not verify is an
// error; those of logs that it does not know are left aside, as are timestamps of unknown authorities.
func (r *TrustRoot) facts(e *entity, material root.TrustedMaterial) (facts, error) {
	var f facts
	seen := map[string]bool{} // by key, so that one log under two ids is one
	for _, entry := range e.entries {
		id := hex.EncodeToString([]byte(entry.LogKeyID()))
		key, known := r.logKeys[id]
		if !known {
			continue
		}
		stamps, err := verify.VerifyTlogEntry(e.only(entry), material, 1, true)
		if err != nil {
			return f, err
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		f.logs = append(f.logs, id)
		for _, t := range stamps { // none, unless the log promised the time under its signature
			f.times = append(f.times, core.SignedTime{Time: t.Time.UTC(), Source: core.TimeLog, By: id})
		}
	}
	r.authorityTimes(e, &f)
	return f, r.inService(&f)
}

// inService objects to entries of a log that did not sign yet, or no more, at a time that somebody vouches for.
func (r *TrustRoot) inService(f *facts) error {
	for _, l := range r.Logs {
		if !slices.Contains(f.logs, l.ID) {
			continue
		}
		for _, t := range f.times {
			if t.Time.Before(l.From) || !l.Until.IsZero() && t.Time.After(l.Until) {
				return fmt.Errorf("the transparency log %s was not in service at %s", quoted(l.Name), t.Time.Format(time.RFC3339))
			}
		}
	}
	return nil
}

func (r *TrustRoot) authorityTimes(e *entity, f *facts) {
	for _, stamp := range e.stamps {
		for _, tsa := range r.material.TimestampingAuthorities() {
			t, err := tsa.Verify(stamp, e.content.Signature())
			if err != nil || t == nil {
				continue
			}
			by := r.authorities[tsa]
			if !slices.ContainsFunc(f.times, func(o core.SignedTime) bool { return o.Source == core.TimeAuthority && o.By == by }) {
				f.times = append(f.times, core.SignedTime{Time: t.Time.UTC(), Source: core.TimeAuthority, By: by})
			}
			break
		}
	}
}

// options ask sigstore-go for all of these facts at once.
func (f *facts) options(sct bool) []verify.VerifierOption {
	opts := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if len(f.logs) > 0 {
		opts = append(opts, verify.WithTransparencyLog(len(f.logs)))
	}
	if len(f.times) > 0 || f.certified {
		opts = append(opts, verify.WithObserverTimestamps(1))
	} else {
		opts = append(opts, verify.WithNoObserverTimestamps())
	}
	if sct {
		opts = append(opts, verify.WithSignedCertificateTimestamps(1))
	}
	return opts
}

// confirm has the whole verified with these options, and compares what was verified with what was read. Only then do the
// facts count; of the times, those that sigstore-go has judged the certificate at.
func (v *Verifier) confirm(it *Item, material root.TrustedMaterial, f *facts, opts []verify.VerifierOption) error {
	res, err := v.check(it.entity, material, opts, it.policy())
	switch {
	case err != nil:
		return err
	case res == nil || res.Signature == nil:
		return errors.New("the verifier has no result")
	case it.payload == nil && (res.Statement == nil || res.Statement.GetPredicateType() != it.said[0].PredicateType):
		return errors.New("the verified statement is another than the one that was read")
	case f.certified && res.Signature.Certificate == nil, !f.certified && (res.Signature.Certificate != nil || res.Signature.PublicKeyID == nil):
		return errors.New("the verified signature is of another kind than the one that was read")
	}
	if f.certified {
		f.certificate = *res.Signature.Certificate
		if f.certificate.Issuer == "" || f.certificate.SubjectAlternativeName == "" {
			return errors.New("its certificate does not say whom it was issued to, or by whose word")
		}
	}
	return f.keepTimes(res.VerifiedTimestamps)
}

func (f *facts) keepTimes(verified []verify.TimestampVerificationResult) error {
	f.times = slices.DeleteFunc(slices.Clone(f.times), func(t core.SignedTime) bool {
		return !slices.ContainsFunc(verified, func(o verify.TimestampVerificationResult) bool { return o.Timestamp.Equal(t.Time) })
	})
	if f.certified && len(f.times) == 0 {
		return errors.New("no verified time is left to judge its certificate at")
	}
	return nil
}

// policy asks that the signature is over the very bytes that were read, and leaves identities to the gate.
func (it *Item) policy() verify.PolicyBuilder {
	who := verify.WithKey()
	if it.entity.certified {
		who = verify.WithoutIdentitiesUnsafe() // recorded as facts
	}
	if it.payload != nil {
		return verify.NewPolicy(verify.WithArtifact(bytes.NewReader(it.payload)), who)
	}
	digests := make([]verify.ArtifactDigest, 0, len(it.said))
	for _, s := range it.said {
		algorithm, encoded, _ := strings.Cut(s.Subject, ":")
		sum, _ := hex.DecodeString(encoded) // ParseDigest has seen it
		digests = append(digests, verify.ArtifactDigest{Algorithm: algorithm, Digest: sum})
	}
	return verify.NewPolicy(verify.WithArtifactDigests(digests), who)
}

// extensions returns Fulcio's certificate extensions by the names that sigstore-go gives them in JSON.
func extensions(c certificate.Summary) map[string]string {
	text, err := json.Marshal(c.Extensions)
	if err != nil {
		return nil
	}
	var out map[string]string
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	delete(out, "issuer")
	return out
}
