package scripts

import (
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// settle is how long the hub has for a statement. It takes less than three seconds.
const settle = 30 * time.Second

// attaches PROJECT true|false says whether the hub attaches its verdicts.
func attaches(ts *testscript.TestScript, args []string) {
	api(ts, "PATCH", "/projects/"+args[0], map[string]bool{"attach_verdicts": args[1] == "true"})
}

// statements are what the hub has attached to a digest.
func statements(ts *testscript.TestScript, repo, d string) (all []string) {
	_, answer := ask(ts, false, "GET", "/v2/"+repo+"/referrers/"+d, "", nil)
	var list manifest
	ts.Check(json.Unmarshal(answer, &list))
	for _, r := range list.Manifests {
		if r.Annotations["hallmark.hub"] != "" {
			all = append(all, r.Digest.String())
		}
	}
	return all
}

// until waits for the statements to be as they should be.
func until(ts *testscript.TestScript, repo, d string, good func(all []string) bool) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(settle); ; <-tick.C {
		all := statements(ts, repo, d)
		if good(all) {
			if len(all) == 1 {
				ts.Setenv("statement", all[0])
			}
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("the statements are %v", all)
		}
	}
}

// stated REPOSITORY DIGEST waits until the hub states its verdict once; $statement is what carries it. `! stated` waits until
// it does not.
func stated(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: stated REPOSITORY DIGEST")
	}
	until(ts, args[0], args[1], func(all []string) bool { return neg && len(all) == 0 || !neg && len(all) == 1 })
}

// restated REPOSITORY DIGEST STATEMENT waits until one other statement is in its place.
func restated(ts *testscript.TestScript, args []string) {
	until(ts, args[0], args[1], func(all []string) bool { return len(all) == 1 && all[0] != args[2] })
}

// `! taken PROJECT NAME KEY` says that no key can be registered under a name.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if !neg || len(args) != 3 {
		ts.Fatalf("usage: ! taken PROJECT NAME KEY")
	}
	res, answer := ask(ts, true, "PUT", "/api/v1/projects/"+args[0]+"/authorities/"+args[1], "application/json",
		asJSON(ts, map[string]string{"public_key": ts.ReadFile(args[2] + ".pub")}))
	if res.StatusCode != http.StatusBadRequest {
		ts.Fatalf("%s\n%s", res.Status, answer)
	}
}

// keep REPOSITORY DIGEST FILE copies a manifest, and what it carries, as anybody can.
func keep(ts *testscript.TestScript, args []string) {
	res, m := ask(ts, false, "GET", "/v2/"+args[0]+"/manifests/"+args[1], "", nil)
	var parsed manifest
	ts.Check(json.Unmarshal(m, &parsed))
	_, content := ask(ts, false, "GET", "/v2/"+args[0]+"/blobs/"+parsed.Layers[0].Digest.String(), "", nil)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s\n%s", res.Status, m)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]+".manifest"), m, 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]+".content"), content, 0o644))
}

// `! replay REPOSITORY FILE` says that what was kept cannot be pushed.
func replay(ts *testscript.TestScript, neg bool, args []string) {
	if !neg || len(args) != 2 {
		ts.Fatalf("usage: ! replay REPOSITORY FILE")
	}
	pushBlob(ts, args[0], typeBundle, []byte(ts.ReadFile(args[1]+".content")))
	res, answer := ask(ts, true, "PUT", "/v2/"+args[0]+"/manifests/stale", typeManifest, []byte(ts.ReadFile(args[1]+".manifest")))
	if res.StatusCode != http.StatusForbidden {
		ts.Fatalf("%s\n%s", res.Status, answer)
	}
}
