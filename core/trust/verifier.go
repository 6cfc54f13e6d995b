package trust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmarkhub/hallmark/core"
)

// Verifier finds out who signed an item, with the keys and trust roots that are registered. It never changes and may be
// used concurrently.
type Verifier struct {
	keys  []*Key
	roots []namedRoot
	check checker
}

type namedRoot struct {
	*TrustRoot
	name string
}

// checker is sigstore-go's verifier; a test puts a broken one in its place.
type checker func(verify.SignedEntity, root.TrustedMaterial, []verify.VerifierOption, verify.PolicyBuilder) (*verify.VerificationResult, error)

func sigstore(e verify.SignedEntity, m root.TrustedMaterial, opts []verify.VerifierOption, p verify.PolicyBuilder) (*verify.VerificationResult, error) {
	v, err := verify.NewVerifier(m, opts...)
	if err != nil {
		return nil, err
	}
	return v.Verify(e, p)
}

// NewVerifier makes a Verifier of keys and of trust roots by name. A key that is given twice counts once.
func NewVerifier(keys []*Key, roots map[string]*TrustRoot) *Verifier {
	v := &Verifier{check: sigstore}
	seen := map[string]bool{}
	for _, k := range keys {
		if k != nil && !seen[k.Fingerprint] {
			seen[k.Fingerprint] = true
			v.keys = append(v.keys, k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(roots)) {
		if roots[name] != nil {
			v.roots = append(v.roots, namedRoot{roots[name], name})
		}
	}
	return v
}

// Verify says what the items prove: one piece of evidence for each subject and for each way in which it verifies. An item
// whose signer is not known gives its evidence without one, and Problem says why. If a certificate, or the log entries
// and times of a key's signature, hold by several trust roots, there is one for each of them.
//
// What an item proves does not depend on when it is asked: a certificate is judged at the times that logs and authorities
// vouch for. No identity, age or number is asked for here, which is the gate's part. The error is that of ctx, which is
// looked at between items; what is returned with it is incomplete.
func (v *Verifier) Verify(ctx context.Context, items []Item) ([]core.Evidence, error) {
	var out []core.Evidence
	for i := range items {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		signers, err := v.signers(&items[i])
		for _, said := range items[i].said {
			if err != nil || len(signers) == 0 {
				said.Problem = problem(items[i].problem, err)
				out = append(out, said)
				continue
			}
			for s := range signers {
				said.Signer = &signers[s] // shared between subjects, and never changed
				out = append(out, said)
			}
		}
	}
	return out, nil
}

// problem is never empty: evidence without a signer says why.
func problem(known string, err error) string {
	switch {
	case known != "":
		return known
	case err != nil:
		return plain(err)
	}
	return core.ProblemUnverifiable
}

// signers fails closed: an error or panic leaves no signer.
func (v *Verifier) signers(it *Item) (signers []core.Signer, err error) {
	defer func() {
		if r := recover(); r != nil {
			signers, err = nil, fmt.Errorf("the verifier gave up on it: %s", plain(fmt.Errorf("%v", r)))
		}
	}()
	switch {
	case it.problem != "" || it.entity == nil:
		return nil, errors.New(core.ProblemUnverifiable)
	case it.entity.certified:
		return v.identities(it)
	}
	return v.holders(it)
}

// holders returns the key that signed: once for each trust root whose logs or authorities vouch for the time, else once.
func (v *Verifier) holders(it *Item) ([]core.Signer, error) {
	key, how, err := v.find(it)
	if err != nil {
		return nil, err
	}
	var signers []core.Signer
	var broken error
	for _, r := range v.roots {
		material := root.TrustedMaterialCollection{r.material, how.material}
		f, err := r.facts(it.entity, material)
		if err == nil && f.none() {
			continue
		}
		if err == nil {
			err = v.confirm(it, material, &f, f.options(false))
		}
		if err != nil {
			broken = fmt.Errorf("by the trust root %s: %w", quoted(r.name), err)
			continue
		}
		signers = append(signers, core.Signer{Key: key.Fingerprint, TrustRoot: r.name, Logs: f.logs, Times: f.times})
	}
	if len(signers) > 0 || broken != nil {
		return signers, brokenUnless(signers, broken)
	}
	if err := v.confirm(it, how.material, &facts{}, (&facts{}).options(false)); err != nil {
		return nil, err
	}
	return []core.Signer{{Key: key.Fingerprint}}, nil
}

// brokenUnless drops what one trust root had to object, if it holds by another.
func brokenUnless(signers []core.Signer, broken error) error {
	if len(signers) > 0 {
		return nil
	}
	return broken
}

// find tries the keys; the bundle's hint, which anybody could have written, only decides which is first.
func (v *Verifier) find(it *Item) (*Key, variant, error) {
	hint, sig := it.entity.key.PublicKey().Hint(), it.entity.content.Signature()
	for _, hinted := range []bool{true, false} {
		for _, k := range v.keys {
			if (hint == k.hint) != hinted {
				continue
			}
			if how, ok := k.signed(it.message, sig); ok {
				return k, how, nil
			}
		}
	}
	return nil, variant{}, fmt.Errorf(core.ProblemNotByKeys, len(v.keys))
}

// identities returns whom the certificate was issued to, once for each trust root by which it verifies.
func (v *Verifier) identities(it *Item) ([]core.Signer, error) {
	if len(v.roots) == 0 {
		return nil, errors.New(core.ProblemNoTrustRoot)
	}
	var signers []core.Signer
	var broken error
	for _, r := range v.roots {
		s, err := v.identity(it, r)
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("by the trust root %s: %w", quoted(r.name), err))
			continue
		}
		signers = append(signers, s)
	}
	return signers, brokenUnless(signers, broken)
}

func (v *Verifier) identity(it *Item, r namedRoot) (core.Signer, error) {
	f, err := r.facts(it.entity, r.material)
	if err != nil {
		return core.Signer{}, err
	}
	if len(f.times) == 0 {
		return core.Signer{}, errors.New(core.ProblemNoTime)
	}
	f.certified = true
	sct := len(r.CertLogs) > 0
	if sct {
		sct = v.confirm(it, r.material, &f, f.options(true)) == nil
	}
	if !sct {
		if err := v.confirm(it, r.material, &f, f.options(false)); err != nil {
			return core.Signer{}, err
		}
	}
	return core.Signer{
		TrustRoot: r.name, Issuer: f.certificate.Issuer, Subject: f.certificate.SubjectAlternativeName,
		Extensions: extensions(f.certificate), SCT: sct, Logs: f.logs, Times: f.times,
	}, nil
}
