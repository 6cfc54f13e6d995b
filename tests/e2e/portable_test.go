//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const predicateVerdict = "https://slsa.dev/verification_summary/v1"

// TestPortableVerdict: with the hub's key alone cosign tells what may be pulled, and asks nobody else for it.
func TestPortableVerdict(t *testing.T) {
	if !slices.Contains(chosenClients(t), "gate") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			other := s
			if name == "postgres" {
				other = s.beside(t) // both work off what is owed
			}
			guest := s.person(t, "gus")
			v := &verdicts{gated: guest.project(t, "portable", "cosign3"), other: other}
			v.life()
		})
	}
}

// verdicts is a project whose verdicts the hub attaches, and a guest who checks them.
type verdicts struct {
	*gated
	other *stack
}

// check runs cosign as the guest until it ends as it should.
func (v *verdicts) check(what, ref string, good bool, words ...string) (said string) {
	v.t.Helper()
	c := &cli{t: v.t, s: v.s, home: v.t.TempDir()}
	c.pipe(v.guest.password, v.tool, "login", v.s.addr, "-u", v.guest.name, "--password-stdin")
	eventually(v.t, fmt.Sprintf("%s: cosign to accept it: %v", what, good), 20*time.Second, func() error {
		r := c.try("", v.tool, "verify-attestation", "--key", v.file("hub.pem"), "--type", predicateVerdict, "--insecure-ignore-tlog=true",
			"--trusted-root", v.file("root.json"), ref)
		if (r.err == nil) != good {
			return fmt.Errorf("%v", r)
		}
		if !good {
			return nil
		}
		var envelope struct{ Payload []byte }
		if err := json.NewDecoder(strings.NewReader(r.stdout)).Decode(&envelope); err != nil {
			return fmt.Errorf("%w: %v", err, r)
		}
		said = string(envelope.Payload)
		for _, w := range words {
			if !strings.Contains(said, w) {
				return fmt.Errorf("it does not say %s: %s", w, said)
			}
		}
		return nil
	})
	return said
}

func (v *verdicts) used() int64 {
	v.t.Helper()
	res, answer := v.s.do(v.t, http.MethodGet, "/api/v1/projects/"+v.project, nil, nil)
	var p struct {
		Used int64 `json:"used_bytes"`
	}
	if err := json.Unmarshal(answer, &p); err != nil || res.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %v", res.Status, err)
	}
	return p.Used
}

// of are the statements that are listed about a digest.
func (v *verdicts) of(digest string) (all []descriptor) {
	v.t.Helper()
	for _, d := range v.referrers("app", digest) {
		if d.Annotations["hallmark.hub"] != "" {
			all = append(all, d)
		}
	}
	return all
}

func (v *verdicts) life() {
	t := v.t
	t.Helper()
	v.run(v.tool, "trusted-root", "create", "--out", v.file("root.json"))
	res, err := http.Get("http://" + v.other.addr + "/api/v1/keys/hub.pem") // as nobody
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the hub's key: %s %v\n%s", res.Status, err, key)
	}
	v.write("hub.pem", key)
	v.register()
	v.guest.call(t, http.MethodPatch, "/api/v1/projects/"+v.project, map[string]bool{"attach_verdicts": true}, http.StatusOK)
	img := v.pushImage("app")
	signed, unsigned := v.repo("app")+"@"+img.arch["amd64"], v.repo("app")+"@"+img.arch["arm64"]
	v.cosign("sign", "ours", signed)
	used := v.used()
	v.check("signed", signed, true, `"verificationResult":"PASSED"`, `"hallmark:baseline"`, "?repository_url=portable%2Fapp")
	v.check("not signed", unsigned, false)
	if got := v.used(); got != used {
		t.Errorf("the project is charged %d bytes for verdicts", got-used)
	}
	first := v.of(img.arch["amd64"])
	v.cosign("sign", "ours", signed)
	eventually(t, "a second signature to replace the statement", 20*time.Second, func() error {
		now := v.of(img.arch["amd64"])
		if len(now) != 1 || now[0].Digest == first[0].Digest {
			return fmt.Errorf("%v", now)
		}
		return nil
	})
	v.guest.call(t, http.MethodPut, "/api/v1/projects/"+v.project+"/policies/with-sbom",
		map[string]string{"document": fmt.Sprintf(withSBOM, v.project, v.authority)}, http.StatusOK, http.StatusCreated)
	v.check("a policy that is not satisfied", signed, false)
	v.cosign("attest", "ours", "--type", "spdxjson", "--predicate", "sbom.json", signed)
	v.check("satisfied", signed, true, `"hallmark:portable/with-sbom"`)
	v.revoke(v.other)
	v.check("revoked", signed, false)
	if left := v.of(img.arch["amd64"]); len(left) != 0 {
		t.Errorf("%d statements are left", len(left))
	}
}
