package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// The annotations of a layer in which cosign 1 and 2 keep what belongs to a signature (cosign's SIGNATURE_SPEC).
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"   // base64
	annotationCertificate = "dev.sigstore.cosign/certificate"      // PEM
	annotationEntry       = "dev.sigstore.cosign/bundle"           // log entry with its inclusion promise
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp" // timestamp response
)

// payloadType is critical.type of cosign's simple-signing payloads.
const payloadType = "cosign container image signature"

// readPayload reads a simple-signing payload and the signature in the annotations beside it.
func readPayload(base core.Evidence, layer ocispec.Descriptor, content []byte) ([]Item, error) {
	said, err := parsePayload(base, content)
	if err != nil {
		return nil, err
	}
	it := Item{said: []core.Evidence{said}, message: content, payload: content}
	sum := sha256.Sum256(content)
	m := &commonv1.MessageSignature{MessageDigest: &commonv1.HashOutput{Algorithm: commonv1.HashAlgorithm_SHA2_256, Digest: sum[:]}}
	if m.Signature, err = base64.StdEncoding.DecodeString(layer.Annotations[annotationSignature]); err != nil {
		it.problem = "the annotation " + annotationSignature + " is not base64"
	} else {
		it.attachLegacy(&bundlev1.Bundle{Content: &bundlev1.Bundle_MessageSignature{MessageSignature: m}}, layer.Annotations)
	}
	return []Item{it}, nil
}

func parsePayload(base core.Evidence, content []byte) (core.Evidence, error) {
	if err := boundJSON(content, subjectDepth, entryTokens); err != nil {
		return base, err
	}
	var p struct {
		Critical struct {
			Identity struct {
				Reference string `json:"docker-reference"`
			} `json:"identity"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
		Optional map[string]any `json:"optional"`
	}
	if err := jsonv2.Unmarshal(content, &p); err != nil {
		return base, errors.New("its members do not have the types of a simple-signing payload")
	}
	if p.Critical.Type != payloadType {
		return base, fmt.Errorf("its type is %s instead of %q", quoted(p.Critical.Type), payloadType)
	}
	d, err := registry.ParseDigest(p.Critical.Image.Digest)
	if err != nil {
		return base, errors.New("its docker-manifest-digest is no digest")
	}
	base.Kind, base.Subject, base.Payload = core.EvidenceSignature, string(d), string(digest.FromBytes(content))
	base.Repository = shortened(p.Critical.Identity.Reference)
	base.Annotations, err = texts(p.Optional)
	return base, err
}

// readEnvelope reads a DSSE envelope (secure-systems-lab/dsse, "Envelope"). Unlike in a bundle it may have several
// signatures: each is an item.
func readEnvelope(base core.Evidence, layer ocispec.Descriptor, content []byte) ([]Item, error) {
	env, err := parseEnvelope(content)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, s := range env.GetSignatures() {
		one := &dssev1.Envelope{Payload: env.GetPayload(), PayloadType: env.GetPayloadType(), Signatures: []*dssev1.Signature{s}}
		it, err := statementItem(base, one)
		if err != nil {
			return nil, err
		}
		it.attachLegacy(&bundlev1.Bundle{Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: one}}, layer.Annotations)
		items = append(items, it)
	}
	return items, nil
}

func parseEnvelope(content []byte) (*dssev1.Envelope, error) {
	if err := boundJSON(content, bundleDepth, entryTokens); err != nil {
		return nil, err
	}
	var env struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			KeyID string `json:"keyid"`
			Sig   []byte `json:"sig"`
		} `json:"signatures"`
	}
	if err := jsonv2.Unmarshal(content, &env); err != nil {
		return nil, errors.New("its members do not have the types of a DSSE envelope")
	}
	if n := len(env.Signatures); n == 0 || n > maxSignatures {
		return nil, fmt.Errorf("its envelope has %d signatures; 1 to %d are read", n, maxSignatures)
	}
	out := &dssev1.Envelope{Payload: env.Payload, PayloadType: env.PayloadType}
	for _, s := range env.Signatures {
		out.Signatures = append(out.Signatures, &dssev1.Signature{Sig: s.Sig, Keyid: s.KeyID})
	}
	return out, nil
}

// attachLegacy puts what the annotations have into a bundle that carries the signature already. An inclusion promise
// without proof is what version 0.1 of the bundle allows.
func (it *Item) attachLegacy(b *bundlev1.Bundle, annotations map[string]string) {
	m, err := legacyMaterial(annotations)
	if err != nil {
		it.problem = plain(err)
		return
	}
	b.MediaType, b.VerificationMaterial = typeBundlePrefix+"+json;version=0.1", m
	it.attach(b)
}

func legacyMaterial(annotations map[string]string) (*bundlev1.VerificationMaterial, error) {
	m := &bundlev1.VerificationMaterial{
		Content: &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{}},
	}
	if text := annotations[annotationCertificate]; text != "" {
		block, _ := pem.Decode([]byte(text)) // what follows would be intermediates, which the trust root has
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the annotation %s is no certificate", annotationCertificate)
		}
		m.Content = &bundlev1.VerificationMaterial_X509CertificateChain{X509CertificateChain: &commonv1.X509CertificateChain{
			Certificates: []*commonv1.X509Certificate{{RawBytes: block.Bytes}},
		}}
	}
	if text := annotations[annotationEntry]; text != "" {
		entry, err := legacyEntry([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("the annotation %s: %w", annotationEntry, err)
		}
		m.TlogEntries = []*rekorv1.TransparencyLogEntry{entry}
	}
	if text := annotations[annotationTimestamp]; text != "" {
		var t struct{ SignedRFC3161Timestamp []byte }
		if err := jsonv2.Unmarshal([]byte(text), &t); err != nil {
			return nil, fmt.Errorf("the annotation %s is no timestamp", annotationTimestamp)
		}
		m.TimestampVerificationData = &bundlev1.TimestampVerificationData{
			Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: t.SignedRFC3161Timestamp}},
		}
	}
	return m, nil
}

// legacyEntry reads a log entry as Rekor's API returned it.
func legacyEntry(text []byte) (*rekorv1.TransparencyLogEntry, error) {
	var e struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	var body struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	if err := jsonv2.Unmarshal(text, &e); err != nil {
		return nil, errors.New("it is no log entry")
	}
	id, err := hex.DecodeString(e.Payload.LogID)
	if err != nil {
		return nil, errors.New("its log id is not hex")
	}
	if err := boundJSON(e.Payload.Body, entryDepth, entryTokens); err != nil {
		return nil, err
	}
	if err := jsonv2.Unmarshal(e.Payload.Body, &body); err != nil {
		return nil, errors.New("its body says not what it is")
	}
	return &rekorv1.TransparencyLogEntry{
		LogIndex: e.Payload.LogIndex, LogId: &commonv1.LogId{KeyId: id}, IntegratedTime: e.Payload.IntegratedTime,
		KindVersion:       &rekorv1.KindVersion{Kind: body.Kind, Version: body.APIVersion},
		InclusionPromise:  &rekorv1.InclusionPromise{SignedEntryTimestamp: e.SignedEntryTimestamp},
		CanonicalizedBody: e.Payload.Body,
	}, nil
}
