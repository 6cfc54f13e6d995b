package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
	celref "cel.dev/cel-go/common/types/ref"

	"github.com/hallmarkhub/hallmark/core"
)

// program breaks in the way it is told to.
type program struct {
	cel.Program
	eval func() (celref.Val, *cel.EvalDetails, error)
}

func (p program) ContextEval(context.Context, any) (celref.Val, *cel.EvalDetails, error) {
	return p.eval()
}

// V-36: whatever breaks inside denies.
func TestWhateverBreaksDenies(t *testing.T) {
	var rules []rule
	for name, eval := range map[string]func() (celref.Val, *cel.EvalDetails, error){
		"a panic": func() (celref.Val, *cel.EvalDetails, error) { panic("boom") },
		"a runtime error": func() (celref.Val, *cel.EvalDetails, error) {
			return nil, nil, []error{}[len(rules)] // out of range
		},
		"an error": func() (celref.Val, *cel.EvalDetails, error) { return nil, nil, errors.New("no") },
		"nothing":  func() (celref.Val, *cel.EvalDetails, error) { return nil, nil, nil },
	} {
		p := sbomRule(t, `cel: "true"`)
		p.rules[0].cel.program = program{eval: eval}
		in := input([]*Policy{p}, attestation(keyA, spdx, content("sbom")))
		in.Statement = documents(map[string]any{"sbom": map[string]any{}})
		d := Decide(in, now)
		want := "VERIFIER_ERROR"
		if name == "nothing" {
			want = "PREDICATE_REJECTED"
		}
		if d.Allowed() || codes(d) != want || name != "nothing" && d.Fault == nil {
			t.Errorf("%s: %v %s %v", name, d.Allowed(), codes(d), d.Fault)
		}
		// One policy that breaks takes nothing from another.
		in.Policies = NewSet(1, p.with(ModeWarn), Baseline(core.BaselineEnforce))
		if d := Decide(in, now); !d.Allowed() {
			t.Errorf("%s: a warning denies: %s", name, codes(d))
		}
	}
	// A policy whose insides are wrong, which no parser makes.
	broken := Baseline(core.BaselineEnforce)
	broken.rules[0].any = []int{99}
	if d := Decide(input([]*Policy{broken}, signature(keyA)), now); d.Allowed() || codes(d) != "VERIFIER_ERROR" || !strings.Contains(fmt.Sprint(d.Fault), "broke") {
		t.Errorf("%v %s", d.Allowed(), codes(d))
	}
}

func TestDecideIsSafeForConcurrentUse(t *testing.T) {
	in := input([]*Policy{sbomRule(t, `cel: "predicate.n == 1"`), Baseline(core.BaselineEnforce)}, attestation(keyA, spdx, content("sbom")))
	in.Statement = documents(map[string]any{"sbom": map[string]any{"n": 1}})
	done := make(chan bool)
	for range 8 {
		go func() {
			ok := true
			for range 50 {
				d := Decide(in, now)
				ok = ok && d.Allowed()
			}
			done <- ok
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("refused")
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(document1("p", "project: prod", anA+sig)))
	f.Add([]byte(`{"apiVersion":"hallmark/v1alpha1","kind":"PullPolicy","metadata":{"name":"p"},"spec":{"signature":null}}`))
	f.Add([]byte("a: &a [*a]\n---\n"))
	f.Fuzz(func(t *testing.T, source []byte) {
		p, err := Parse(source)
		if err != nil {
			var list Problems
			if !errors.As(err, &list) || len(list) == 0 || p != nil {
				t.Fatalf("%v %v", p, err)
			}
			return
		}
		_ = p.Check(NewRegistered(1, nil, nil, nil), now)
		if s := p.Summary(); s.Wants == "" || s.Scope == "" || s.Name == "" {
			t.Errorf("%+v", s)
		}
		in := input([]*Policy{p}, signature(keyC), signature(keyA, unverified))
		if d := Decide(in, now); d.Fault != nil && !errors.Is(d.Fault, errRejected) {
			t.Errorf("%v", d.Fault)
		}
	})
}

func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, "sha256:x", "prod/app", "https://spdx.dev/Document", []byte(`{"predicateType":"https://spdx.dev/Document","predicate":{"n":2}}`))
	}
	w := newWorld(f, 0)
	f.Fuzz(func(t *testing.T, seed uint64, odd, name, predicateType string, raw []byte) {
		w.Rand = rand.New(rand.NewPCG(seed, seed))
		in := w.input()
		in.Repository = name
		if w.IntN(3) > 0 {
			in.Repository = repo
		}
		stranger := core.Evidence{Subject: image, Kind: core.EvidenceKind(odd), Format: core.EvidenceFormat(odd), PredicateType: predicateType, Content: odd,
			Signer: &core.Signer{Key: odd, Issuer: name, Subject: odd}}
		in.Evidence = append(in.Evidence, stranger, attestation(one(w, keyA, odd), predicateType))
		if w.IntN(2) == 0 {
			in.Statement = func(string) ([]byte, error) { return raw, nil }
		}
		d := Decide(in, now)
		if m := d.Message("https://hub.example/t"); len(m) > maxMessage || d.Allowed() != (m == "") {
			t.Errorf("%q", m)
		}
		Explain(in, now, "")
		// Nobody vouched: nothing that enforces lets it through.
		for i := range in.Evidence {
			unverified(&in.Evidence[i])
		}
		in.Indexes, in.Children, in.Policies = nil, []Related{}, NewSet(1, Baseline(core.BaselineEnforce), w.policies[0])
		if d := Decide(in, now); d.Allowed() {
			t.Errorf("it is allowed without a word for it")
		}
	})
}
