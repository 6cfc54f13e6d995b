package gatekeeper_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	issuer   = "https://login.house.example"
	workflow = "https://git.house.example/team/app/release.yml@refs/tags/v1"
)

// sigstore is an instance of our own: it certifies identities, keeps a log and stamps times.
type sigstore struct {
	*hub
	*ca.VirtualSigstore
}

func (h *hub) sigstore() *sigstore {
	h.Helper()
	vs, err := ca.NewVirtualSigstore()
	h.must(err)
	return &sigstore{h, vs}
}

// trustRoot is the instance's trusted_root.json.
func (s *sigstore) trustRoot() string {
	s.Helper()
	logs := map[string]*root.TransparencyLog{}
	for id, l := range s.RekorLogs() {
		raw, err := hex.DecodeString(id)
		s.must(err)
		l.ID = raw // the virtual instance has the hex text here, which does not survive being written as JSON
		logs[id] = l
	}
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(), nil, s.TimestampingAuthorities(), logs)
	s.must(err)
	text, err := tr.MarshalJSON()
	s.must(err)
	return string(text)
}

// bundle is a signature over subject by whoever the instance was shown the identity of.
func (s *sigstore) bundle(subject digest.Digest, issuer, identity string) []byte {
	s.Helper()
	cert, private, err := s.GenerateLeafCert(identity, issuer)
	s.must(err)
	payload := signertest.Statement(subject, predicateSign, map[string]any{})
	sum := sha256.Sum256(signertest.PAE(payload))
	sig, err := private.(crypto.Signer).Sign(rand.Reader, sum[:], crypto.SHA256)
	s.must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	b64 := base64.StdEncoding.EncodeToString
	hash := sha256.Sum256(payload)
	body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%x"},`+
		`"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":%q,"verifier":%q}]}}`, hash, hash, b64(sig), b64(certPEM))
	at := time.Now().Add(time.Minute).Unix()
	id, err := s.RekorLogID()
	s.must(err)
	set, err := s.RekorSignPayload(tlog.RekorPayload{Body: b64(body), IntegratedTime: at, LogIndex: 7, LogID: id})
	s.must(err)
	stamp, err := s.TimestampResponse(sig)
	s.must(err)
	rawID, err := hex.DecodeString(id)
	s.must(err)
	out, err := protojson.Marshal(&bundlev1.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1", // which does without an inclusion proof
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content: &bundlev1.VerificationMaterial_X509CertificateChain{X509CertificateChain: &commonv1.X509CertificateChain{
				Certificates: []*commonv1.X509Certificate{{RawBytes: cert.Raw}}}},
			TlogEntries: []*rekorv1.TransparencyLogEntry{{LogIndex: 7, LogId: &commonv1.LogId{KeyId: rawID}, IntegratedTime: at,
				KindVersion: &rekorv1.KindVersion{Kind: "dsse", Version: "0.0.1"}, CanonicalizedBody: body,
				InclusionPromise: &rekorv1.InclusionPromise{SignedEntryTimestamp: set}}},
			TimestampVerificationData: &bundlev1.TimestampVerificationData{
				Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: stamp}}},
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: &dssev1.Envelope{
			Payload: payload, PayloadType: signertest.PayloadType, Signatures: []*dssev1.Signature{{Sig: sig}}}},
	})
	s.must(err)
	return out
}

// Signatures without a key: by whom a Sigstore instance of one's own has certified.
func TestKeyless(t *testing.T) {
	eachHub(t, func(h *hub) {
		house, elsewhere := h.sigstore(), h.sigstore()
		i := h.image(repo, "1", "one")
		put := func(kind store.TrustKind, name, document string) {
			h.Helper()
			_, _, err := h.store.PutTrustDocument(h.system, h.team, kind, name, document, 0)
			h.must(err)
		}
		h.register("release", gatekeeper.Authority{Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: issuer, Subject: workflow, WithoutSCT: true}}, 0)
		h.attach(repo, i.digest, house.bundle(i.digest, issuer, workflow))
		h.readable(h.guest, i, "1", false) // nothing says who may certify

		put(store.TrustRoot, "house", elsewhere.trustRoot())
		h.readable(h.guest, i, "1", false) // somebody else may
		h.must(h.store.DeleteTrustDocument(h.system, h.team, store.TrustRoot, "house", store.AnyRevision))
		put(store.TrustRoot, "house", house.trustRoot())
		h.readable(h.guest, i, "1", true)

		now := time.Now()
		revoked := gatekeeper.Authority{RevokedAt: &now, Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: issuer, Subject: workflow, WithoutSCT: true}}
		h.register("release", revoked, 1)
		h.readable(h.guest, i, "1", false)
		revoked.RevokedAt = nil
		h.register("release", revoked, 2)
		h.readable(h.guest, i, "1", true)
		h.must(h.store.DeleteTrustDocument(h.system, h.team, store.TrustRoot, "house", store.AnyRevision))
		h.readable(h.guest, i, "1", false)
	})
}

// Neither the same name certified by others, nor others certified by the same.
func TestKeylessStrangers(t *testing.T) {
	eachHub(t, func(h *hub) {
		house, elsewhere := h.sigstore(), h.sigstore()
		for name, s := range map[string]*sigstore{"house": house, "elsewhere": elsewhere} {
			_, _, err := h.store.PutTrustDocument(h.system, h.team, store.TrustRoot, name, s.trustRoot(), 0)
			h.must(err)
		}
		h.register("release", gatekeeper.Authority{Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: issuer, SubjectRegex: `https://git\.house\.example/team/[a-z]+/release\.yml@refs/tags/v[0-9]+`, WithoutSCT: true}}, 0)
		i := h.image(repo, "1", "one")
		for name, content := range map[string][]byte{
			"certified elsewhere":     elsewhere.bundle(i.digest, issuer, workflow),
			"another issuer":          house.bundle(i.digest, "https://login.evil.example", workflow),
			"a name that goes on":     house.bundle(i.digest, issuer, workflow+".evil.example"),
			"a name that begins else": house.bundle(i.digest, issuer, "https://evil.example/"+workflow),
			"of another image":        house.bundle(digest.FromString("another"), issuer, workflow),
		} {
			h.attach(repo, i.digest, content)
			if got := h.code(h.guest, repo, "1", i.digest); got != registry.CodeDenied {
				t.Errorf("%s: %q", name, got)
			}
		}
		h.readable(h.guest, i, "1", false)
		h.attach(repo, i.digest, house.bundle(i.digest, issuer, workflow))
		h.readable(h.guest, i, "1", true)
		// The certificate's authority is not enough where a policy wants the log too, and here it is in the log.
		_, _, err := h.store.PutTrustDocument(h.system, h.team, store.TrustPolicy, "logged", `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: logged, project: team}
spec:
  mode: enforce
  require: all
  authorities:
    - name: house
      keyless:
        trustRoot: house
        sct: ignore
        identities: [{issuer: "`+issuer+`", subject: "`+workflow+`"}]
      tlog: {mode: require, threshold: 1}
  signature: {require: {allOf: [house]}, maxAge: 24h}
`, 0)
		h.must(err)
		h.readable(h.guest, i, "1", true)
		x, err := h.keeper.Explain(h.guest, repo, registry.Reference{Tag: "1"})
		if err != nil || !x.Allowed || len(x.Policies) != 2 {
			t.Errorf("%+v %v", x, err)
		}
		if _, err := h.reg.Manifest(core.WithPrincipal(t.Context(), core.Anonymous()), repo, registry.Reference{Tag: "1"}, false); err != nil {
			t.Errorf("anonymous: %v", err)
		}
	})
}
