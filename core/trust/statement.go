package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// The types of in-toto statements (in-toto attestation framework, "Statement"); cosign writes both.
const (
	statementV01 = "https://in-toto.io/Statement/v0.1"
	statementV1  = "https://in-toto.io/Statement/v1"
)

// Statement is an in-toto statement: a predicate about subjects.
type Statement struct {
	Type          string
	PredicateType string
	Subjects      []Subject
	Predicate     json.RawMessage // strict JSON of any kind, "null" if there is none
	Raw           json.RawMessage // the whole statement, as it was signed
}

// Subject is one thing that a statement is about.
type Subject struct {
	Name        string            // what the signer called it
	Digest      map[string]string // hex by algorithm, as it was signed
	Annotations map[string]string // those whose value is text
}

// parseStatement reads the signed bytes and refuses what another parser might read otherwise. Nothing is built of the
// predicate, which may be a large SBOM; the result refers to payload.
func parseStatement(payload []byte) (*Statement, error) {
	if err := boundJSON(payload, statementDepth, statementTokens); err != nil {
		return nil, err
	}
	s := &Statement{Raw: payload, Predicate: json.RawMessage("null")}
	err := members(payload, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "_type":
			err = jsonv2.Unmarshal(value, &s.Type)
		case "predicateType":
			err = jsonv2.Unmarshal(value, &s.PredicateType)
		case "subject":
			s.Subjects, err = parseSubjects(value)
		case "predicate":
			s.Predicate = json.RawMessage(value)
		}
		return err
	})
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// parseSubjects counts before it builds: the payload is not verified yet.
func parseSubjects(list []byte) ([]Subject, error) {
	var out []Subject
	err := elements(list, func(value jsontext.Value) error {
		if len(out) == maxSubjects {
			return fmt.Errorf("it has more than %d subjects", maxSubjects)
		}
		sub, err := parseSubject(value)
		out = append(out, sub)
		return err
	})
	return out, err
}

func parseSubject(value []byte) (Subject, error) {
	var sub Subject
	if err := boundJSON(value, subjectDepth, subjectTokens); err != nil {
		return sub, fmt.Errorf("a subject: %w", err)
	}
	var s struct {
		Name        string            `json:"name"`
		Digest      map[string]string `json:"digest"`
		Annotations map[string]any    `json:"annotations"`
	}
	if err := jsonv2.Unmarshal(value, &s); err != nil {
		return sub, errors.New("a subject has not the members that in-toto gives it")
	}
	if len(s.Digest) > maxDigests {
		return sub, fmt.Errorf("one of its subjects has more than %d digests", maxDigests)
	}
	annotations, err := texts(s.Annotations)
	return Subject{Name: s.Name, Digest: s.Digest, Annotations: annotations}, err
}

func (s *Statement) check() error {
	switch {
	case s.Type != statementV01 && s.Type != statementV1:
		return fmt.Errorf("%s is no in-toto statement type that is known here", quoted(s.Type))
	case s.PredicateType == "" || len(s.PredicateType) > maxName || strings.ContainsFunc(s.PredicateType, notOfURI):
		return errors.New("its predicateType is no URI, or too long")
	}
	return nil
}

func notOfURI(r rune) bool { return r <= ' ' || r > '~' }

// evidence makes one piece of evidence of each digest that the statement is about, in the algorithms of the registry.
func (s *Statement) evidence(base core.Evidence) []core.Evidence {
	base.PredicateType, base.Payload = s.PredicateType, string(digest.FromBytes(s.Raw))
	base.Kind = core.EvidenceAttestation
	if s.PredicateType == core.PredicateSignature {
		base.Kind = core.EvidenceSignature
	}
	var out []core.Evidence
	seen := map[digest.Digest]bool{}
	for _, sub := range s.Subjects {
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			d, err := registry.ParseDigest(string(algorithm) + ":" + sub.Digest[string(algorithm)])
			if err != nil || seen[d] {
				continue
			}
			seen[d] = true
			e := base
			e.Subject, e.Annotations, e.Repository = string(d), sub.Annotations, shortened(sub.Name)
			out = append(out, e)
		}
	}
	return out
}

// texts keeps the annotations that are text; a policy compares nothing else.
func texts(m map[string]any) (map[string]string, error) {
	var out map[string]string
	size := 0
	for k, v := range m {
		text, ok := v.(string)
		if !ok || strings.ContainsRune(k+text, 0) { // not every database can keep a NUL
			continue
		}
		if out == nil {
			out = make(map[string]string, len(m))
		}
		out[k] = text
		size += len(k) + len(text)
	}
	if len(out) > maxAnnotations || size > maxAnnotationBytes {
		return nil, fmt.Errorf("it has more than %d annotations, or more than %d bytes of them", maxAnnotations, maxAnnotationBytes)
	}
	return out, nil
}
