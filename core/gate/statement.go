package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/hallmarkhub/hallmark/core"
)

// Bounds of what a decision reads. Only statements of trusted signers are read, each distinct one once, the newest first
// and the same number of each authority: so a pusher cannot hide a good one behind copies of others.
const (
	maxStatements    = 50       // per rule and manifest
	maxLoads         = 256      // per policy and decision
	maxStatement     = 16 << 20 // bytes
	maxRead          = 64 << 20 // bytes per policy and decision
	maxStatementText = 256 << 10
	maxSpent         = 400 * time.Millisecond // on expressions, per policy and decision
	// clockwise is how long the answer of an expression is kept that looks at the clock.
	clockwise = time.Minute
)

// statement is a signed in-toto statement that was read.
type statement struct {
	all       map[string]any
	predicate any
	long      bool // some text in it is too long to be given to an expression
	err       error
}

// question is one that was asked already.
type question struct {
	rule    *rule
	digest  string
	content string
	signer  signerID
}

// says reads a statement, from whichever copy can be read, and asks it.
func (e *evaluation) says(r *rule, c *candidate, digest string) bool {
	for _, ev := range c.copies {
		q := question{r, digest, ev.Content, c.signer}
		code, asked := e.answers[q]
		if !asked {
			code = e.ask(r, ev, digest)
			if e.answers == nil {
				e.answers = map[question]Code{}
			}
			e.answers[q] = code
		}
		if code != VerifierError {
			return code == ""
		}
	}
	return false
}

func (e *evaluation) ask(r *rule, ev *core.Evidence, digest string) Code {
	st, err := e.readAbout(ev, digest)
	if err != nil {
		e.fault = errors.Join(e.fault, err)
		return VerifierError
	}
	for i := range r.fields {
		if !r.fields[i].holds(st.predicate) {
			return PredicateRejected
		}
	}
	if r.cel == nil {
		return ""
	}
	if st.long || e.spent > maxSpent {
		e.fault = errors.Join(e.fault, errors.New("a statement is too much for an expression"))
		return VerifierError
	}
	if r.cel.timely {
		e.later(e.now.Add(clockwise))
	}
	began := time.Now()
	err = r.cel.holds(e.vars(st, ev.Signer))
	e.spent += time.Since(began)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errRejected):
		return PredicateRejected
	}
	e.fault = errors.Join(e.fault, err)
	return VerifierError
}

func (e *evaluation) vars(st *statement, s *core.Signer) map[string]any {
	extensions := map[string]any{}
	for name, value := range s.Extensions {
		extensions[name] = value
	}
	return map[string]any{
		"statement": st.all,
		"predicate": st.predicate,
		"image": map[string]string{"repository": e.in.Repository, "digest": e.in.Digest, "host": e.in.Host, "tag": e.in.Tag,
			"type": e.in.Type},
		"signer": map[string]any{"key": s.Key, "issuer": s.Issuer, "subject": s.Subject, "trustRoot": s.TrustRoot, "extensions": extensions},
		"now":    e.now,
	}
}

// readAbout is read of a statement that has to be about a digest.
func (e *evaluation) readAbout(ev *core.Evidence, digest string) (*statement, error) {
	st := e.read(ev)
	if st.err == nil && !about(st.all["subject"], digest) {
		return st, errors.New("a statement is about another digest than was verified")
	}
	return st, st.err
}

// predicate is what a statement about a digest says, from whichever copy can be read.
func (e *evaluation) predicate(c *candidate, digest string) (any, error) {
	err := errors.New("there is no copy of a statement")
	for _, ev := range c.copies {
		var st *statement
		if st, err = e.readAbout(ev, digest); err == nil {
			return st.predicate, nil
		}
	}
	return nil, err
}

// read reads a statement once.
func (e *evaluation) read(ev *core.Evidence) *statement {
	if st, ok := e.statements[ev.Content]; ok {
		return st
	}
	st := &statement{}
	switch {
	case e.in.Statement == nil:
		st.err = errors.New("statements cannot be read")
	case e.loads == maxLoads || e.bytes > maxRead:
		st.err = errors.New("there are too many statements")
	default:
		e.loads++
		var source []byte
		source, st.err = e.in.Statement(ev.Content)
		if e.bytes += len(source); st.err == nil {
			st.err = st.parse(source, ev)
		}
	}
	if e.statements == nil {
		e.statements = map[string]*statement{}
	}
	e.statements[ev.Content] = st
	return st
}

// parse reads the very bytes that were signed, and makes sure that they are: and of that type.
func (st *statement) parse(source []byte, ev *core.Evidence) error {
	if len(source) == 0 || len(source) > maxStatement {
		return errors.New("a statement is empty or too large")
	}
	if sum := sha256.Sum256(source); ev.Payload != "" && ev.Payload != "sha256:"+hex.EncodeToString(sum[:]) {
		return errors.New("a statement is not the one that was signed")
	}
	var v any
	if err := json.UnmarshalRead(bytes.NewReader(source), &v); err != nil {
		return errors.New("a statement is not JSON")
	}
	st.all, _ = v.(map[string]any)
	if found, _ := st.all["predicateType"].(string); found == "" || found != ev.PredicateType {
		return errors.New("a statement is of another type than was verified")
	}
	st.predicate = st.all["predicate"]
	st.long = long(v)
	return nil
}

// about reports whether one of a statement's subjects is the digest.
func about(subjects any, digest string) bool {
	algorithm, hex, _ := strings.Cut(digest, ":")
	list, _ := subjects.([]any)
	for _, s := range list {
		subject, _ := s.(map[string]any)
		digests, _ := subject["digest"].(map[string]any)
		if found, _ := digests[algorithm].(string); found != "" && found == hex {
			return true
		}
	}
	return false
}

func long(v any) bool {
	switch v := v.(type) {
	case string:
		return len(v) > maxStatementText
	case []any:
		return slices.ContainsFunc(v, long)
	case map[string]any:
		for key, value := range v {
			if long(key) || long(value) {
				return true
			}
		}
	}
	return false
}
