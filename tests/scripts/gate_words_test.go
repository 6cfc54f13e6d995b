package scripts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const (
	typeManifest  = "application/vnd.oci.image.manifest.v1+json"
	typeIndex     = "application/vnd.oci.image.index.v1+json"
	typeBundle    = signertest.TypeBundle
	predicateSign = signertest.PredicateSign
)

// gateWords are the words of the scripts about the trust gate. All speak with the hub at $ADDR: they push, sign and
// change things as its administrator, whose password is $HALLMARK_ADMIN_PASSWORD, and pull as nobody in particular.
func gateWords() map[string]word {
	return map[string]word{
		"project": needs(1, 2, makeProject), "baseline": needs(2, 2, setBaseline), "pair": needs(1, 1, makePair),
		"register": needs(3, 4, register), "policy": policy, "image": needs(2, 3, pushImage), "index": needs(2, 9, pushIndex),
		"sign": needs(3, 6, sign), "attach": needs(3, 3, attachFile), "legacy": needs(4, 4, signLegacy), "push": needs(3, 3, pushFile),
		"remove": needs(2, 2, remove), "bill": needs(2, 2, bill), "indexed": needs(1, 1, indexed), "revoke": needs(2, 2, revoke), "pull": pull, "told": told,
		"attaches": needs(2, 2, attaches), "stated": stated, "restated": needs(3, 3, restated), "taken": taken, "keep": needs(3, 3, keep), "replay": replay,
	}
}

// needs is a word that cannot be negated, with at least and at most so many arguments.
func needs(least, most int, f func(ts *testscript.TestScript, args []string)) word {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least || len(args) > most {
			ts.Fatalf("%d to %d arguments are needed, and it cannot be negated", least, most)
		}
		f(ts, args)
	}
}

var gateClient = &http.Client{Timeout: 10 * time.Second}

// ask sends a request, as the administrator or as nobody.
func ask(ts *testscript.TestScript, admin bool, method, path, mediaType string, body []byte) (*http.Response, []byte) {
	req, err := http.NewRequest(method, "http://"+ts.Getenv("ADDR")+path, bytes.NewReader(body))
	ts.Check(err)
	if admin {
		req.SetBasicAuth("admin", ts.Getenv("HALLMARK_ADMIN_PASSWORD"))
		req.Header.Set("If-Match", "*")
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	res, err := gateClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	return res, answer
}

// must is ask as the administrator for what has to succeed.
func must(ts *testscript.TestScript, method, path, mediaType string, body []byte) {
	if res, answer := ask(ts, true, method, path, mediaType, body); res.StatusCode >= 300 {
		ts.Fatalf("%s %s: %s\n%s", method, path, res.Status, answer)
	}
}

func asJSON(ts *testscript.TestScript, v any) []byte {
	b, err := json.Marshal(v)
	ts.Check(err)
	return b
}

func api(ts *testscript.TestScript, method, path string, v any) {
	must(ts, method, "/api/v1"+path, "application/json", asJSON(ts, v))
}

// project NAME [BASELINE] makes a public project: as it comes, or with this baseline.
func makeProject(ts *testscript.TestScript, args []string) {
	body := map[string]string{"name": args[0], "visibility": "public"}
	if len(args) == 2 {
		body["baseline"] = args[1]
	}
	api(ts, "POST", "/projects", body)
}

// baseline PROJECT MODE
func setBaseline(ts *testscript.TestScript, args []string) {
	api(ts, "PATCH", "/projects/"+args[0], map[string]string{"baseline": args[1]})
}

// pair NAME makes the keys NAME.key and NAME.pub.
func makePair(ts *testscript.TestScript, args []string) {
	s := signertest.New()
	private, err := x509.MarshalPKCS8PrivateKey(s.Key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), []byte(s.PEM), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// register PROJECT NAME KEY [NOT-AFTER] makes KEY.pub one whose signatures count.
func register(ts *testscript.TestScript, args []string) {
	body := map[string]string{"public_key": ts.ReadFile(args[2] + ".pub")}
	if len(args) == 4 {
		body["not_after"] = args[3]
	}
	api(ts, "PUT", "/projects/"+args[0]+"/authorities/"+args[1], body)
}

// revoke PROJECT NAME
func revoke(ts *testscript.TestScript, args []string) {
	must(ts, "POST", "/api/v1/projects/"+args[0]+"/authorities/"+args[1]+"/revoke", "", nil)
}

// policy PROJECT NAME FILE saves a policy. `! policy` says that it is refused; why is there for stdout.
func policy(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: policy PROJECT NAME FILE")
	}
	res, answer := ask(ts, true, "PUT", "/api/v1/projects/"+args[0]+"/policies/"+args[1], "application/json",
		asJSON(ts, map[string]string{"document": ts.ReadFile(args[2])}))
	_, err := ts.Stdout().Write(append(answer, '\n'))
	ts.Check(err)
	if saved := res.StatusCode < 300; saved == neg {
		ts.Fatalf("%s: %s", res.Status, answer)
	}
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest.Digest     `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// manifest is one of an image or an artifact.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType,omitempty"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
	Subject       *descriptor  `json:"subject,omitempty"`
}

func pushBlob(ts *testscript.TestScript, repo, mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: len(content)}
	must(ts, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.Digest.String(), "application/octet-stream", content)
	return d
}

func pushManifest(ts *testscript.TestScript, repo, reference string, m manifest) digest.Digest {
	m.SchemaVersion = 2
	b := asJSON(ts, m)
	d := digest.FromBytes(b)
	if reference == "" {
		reference = d.String()
	}
	must(ts, "PUT", "/v2/"+repo+"/manifests/"+reference, m.MediaType, b)
	return d
}

// cut is the repository and the tag of REPOSITORY:TAG.
func cut(ts *testscript.TestScript, ref string) (repo, tag string) {
	repo, tag, ok := strings.Cut(ref, ":")
	if !ok {
		ts.Fatalf("%s has no tag", ref)
	}
	return repo, tag
}

// image REPOSITORY:TAG NAME [SUBJECT] pushes a runnable image; $NAME is its digest, $NAME_config and $NAME_layer are
// those of its blobs. The same name makes the same image. With a subject it refers to that, as a signature does, and says
// of itself that it is one.
func pushImage(ts *testscript.TestScript, args []string) {
	repo, tag := cut(ts, args[0])
	config := pushBlob(ts, repo, "application/vnd.oci.image.config.v1+json", fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","of":%q}`, args[1]))
	layer := pushBlob(ts, repo, "application/vnd.oci.image.layer.v1.tar", []byte("layer of "+args[1]))
	m := manifest{MediaType: typeManifest, Config: &config, Layers: []descriptor{layer}}
	if len(args) == 3 {
		m.ArtifactType, m.Subject = typeBundle, &descriptor{MediaType: typeManifest, Digest: digest.Digest(args[2]), Size: 1}
	}
	ts.Setenv(args[1], pushManifest(ts, repo, tag, m).String())
	ts.Setenv(args[1]+"_config", config.Digest.String())
	ts.Setenv(args[1]+"_layer", layer.Digest.String())
}

// index REPOSITORY:TAG NAME DIGEST... pushes an index of manifests that are there.
func pushIndex(ts *testscript.TestScript, args []string) {
	repo, tag := cut(ts, args[0])
	m := manifest{MediaType: typeIndex, Manifests: []descriptor{}}
	for _, d := range args[2:] {
		res, content := ask(ts, true, "GET", "/v2/"+repo+"/manifests/"+d, "", nil)
		m.Manifests = append(m.Manifests, descriptor{MediaType: res.Header.Get("Content-Type"), Digest: digest.Digest(d), Size: len(content)})
	}
	ts.Setenv(args[1], pushManifest(ts, repo, tag, m).String())
}

// signer has the key that pair made.
func signer(ts *testscript.TestScript, key string) *signertest.Signer {
	block, _ := pem.Decode([]byte(ts.ReadFile(key + ".key")))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	ts.Check(err)
	return signertest.Of(private.(*ecdsa.PrivateKey))
}

// sign KEY REPOSITORY DIGEST [NAME=VALUE] signs as cosign 3 does, with an annotation; $signature is the digest of what was
// pushed. sign KEY REPOSITORY DIGEST attest TYPE FILE attests FILE.
func sign(ts *testscript.TestScript, args []string) {
	subject := map[string]any{"digest": map[string]string{"sha256": digest.Digest(args[2]).Encoded()}}
	kind, predicate := predicateSign, any(struct{}{})
	switch {
	case len(args) == 4:
		name, value, _ := strings.Cut(args[3], "=")
		subject["annotations"] = map[string]string{name: value}
	case len(args) == 6 && args[3] == "attest":
		kind, predicate = args[4], json.RawMessage(ts.ReadFile(args[5]))
	case len(args) != 3:
		ts.Fatalf("usage: sign KEY REPOSITORY DIGEST [NAME=VALUE | attest TYPE FILE]")
	}
	payload := asJSON(ts, map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": predicate, "subject": []any{subject}})
	attach(ts, args[1], digest.Digest(args[2]), signer(ts, args[0]).Envelope(payload))
}

func attach(ts *testscript.TestScript, repo string, subject digest.Digest, content []byte) {
	config := pushBlob(ts, repo, "application/vnd.oci.empty.v1+json", []byte("{}"))
	layer := pushBlob(ts, repo, typeBundle, content)
	ts.Setenv("signature", pushManifest(ts, repo, "", manifest{MediaType: typeManifest, ArtifactType: typeBundle, Config: &config,
		Layers: []descriptor{layer}, Subject: &descriptor{MediaType: typeManifest, Digest: subject, Size: 1}}).String())
}

// attach REPOSITORY SUBJECT FILE pushes a file in the place of a signature.
func attachFile(ts *testscript.TestScript, args []string) {
	attach(ts, args[0], digest.Digest(args[1]), []byte(ts.ReadFile(args[2])))
}

// legacy KEY REPOSITORY DIGEST REFERENCE signs as cosign 2 does, as the image that REFERENCE names.
func signLegacy(ts *testscript.TestScript, args []string) {
	repo, d := args[1], digest.Digest(args[2])
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, args[3], d)
	config := pushBlob(ts, repo, "application/vnd.oci.image.config.v1+json", fmt.Appendf(nil,
		`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(payload)))
	layer := pushBlob(ts, repo, "application/vnd.dev.cosign.simplesigning.v1+json", payload)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signer(ts, args[0]).Sign(payload))}
	pushManifest(ts, repo, "sha256-"+d.Encoded()+".sig", manifest{MediaType: typeManifest, Config: &config, Layers: []descriptor{layer}})
}

// push REPOSITORY:TAG MEDIA-TYPE FILE pushes a manifest that is written in a file, whatever it is.
func pushFile(ts *testscript.TestScript, args []string) {
	repo, tag := cut(ts, args[0])
	must(ts, "PUT", "/v2/"+repo+"/manifests/"+tag, args[1], []byte(os.Expand(ts.ReadFile(args[2]), ts.Getenv)))
}

// remove REPOSITORY DIGEST deletes a manifest.
func remove(ts *testscript.TestScript, args []string) {
	must(ts, "DELETE", "/v2/"+args[0]+"/manifests/"+args[1], "", nil)
}

// pull REPOSITORY REFERENCE reads a manifest, pull REPOSITORY blob DIGEST a blob; each is asked for, too. `! pull` says
// that it is refused by the gate; the sentence, and what is warned of, is there for stdout.
func pull(ts *testscript.TestScript, neg bool, args []string) {
	path := "/v2/"
	switch {
	case len(args) == 2:
		path += args[0] + "/manifests/" + args[1]
	case len(args) == 3 && args[1] == "blob":
		path += args[0] + "/blobs/" + args[2]
	default:
		ts.Fatalf("usage: pull REPOSITORY REFERENCE, or pull REPOSITORY blob DIGEST")
	}
	res, answer := ask(ts, false, "GET", path, "", nil)
	head, _ := ask(ts, false, "HEAD", path, "", nil)
	if head.StatusCode != res.StatusCode {
		ts.Fatalf("GET %s: %s, HEAD: %s", path, res.Status, head.Status)
	}
	var refusal struct {
		Errors []struct{ Code, Message string }
	}
	said := res.Header.Values("Warning")
	if res.StatusCode != http.StatusOK {
		ts.Check(json.Unmarshal(answer, &refusal))
		for _, e := range refusal.Errors {
			said = append(said, e.Message)
		}
	}
	fmt.Fprintln(ts.Stdout(), strings.Join(said, "\n"))
	want := http.StatusOK
	if neg {
		want = http.StatusForbidden
	}
	if res.StatusCode != want || neg && (len(refusal.Errors) != 1 || refusal.Errors[0].Code != "DENIED") {
		ts.Fatalf("GET %s: %s\n%s", path, res.Status, answer)
	}
}

// told REPOSITORY DIGEST REFERRER... says that exactly these are listed as what refers to a digest.
func told(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: told REPOSITORY DIGEST REFERRER...")
	}
	_, answer := ask(ts, false, "GET", "/v2/"+args[0]+"/referrers/"+args[1], "", nil)
	var list manifest
	ts.Check(json.Unmarshal(answer, &list))
	var got []string
	for _, d := range list.Manifests {
		got = append(got, d.Digest.String())
	}
	want := slices.Clone(args[2:])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		ts.Fatalf("the referrers are %v", got)
	}
}
