package gate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// maxMessage is how long a refusal may be: docker prints it on one line behind its own words.
const maxMessage = 700

// Message is the sentence of a refusal: what is missing, and the command that puts it right. docker shows nothing else.
// link leads to the page of the verdict; it may be empty. The message is one line of at most 700 bytes, "" if nothing is
// refused.
func (d *Decision) Message(link string) string {
	if d.Allowed() {
		return ""
	}
	denied := d.denied()
	if len(denied) == 0 {
		return fit("refused: it could not be checked whether this may be pulled; try again, or tell the administrator of the hub", "", link)
	}
	return d.sentence(&denied[0], len(denied)-1, "refused", link)
}

// Warnings are the same sentences for policies that warn, for the Warning header.
func (d *Decision) Warnings(link string) []string {
	var list []string
	for _, r := range d.Results() {
		if r.Outcome != OutcomeWarned {
			continue
		}
		verb := "would be refused"
		if r.Policy.mode == ModeEnforce { // which is all that it does to what is not scanned
			verb = "is served with a warning"
		}
		list = append(list, d.sentence(&r, 0, verb, link))
	}
	return list
}

func (d *Decision) denied() []Result {
	var list []Result
	for _, r := range d.Results() {
		if r.Outcome == OutcomeDenied {
			list = append(list, r)
		}
	}
	return list
}

func (d *Decision) sentence(r *Result, more int, verb, link string) string {
	var b strings.Builder
	if r.Policy != nil && r.Policy.name != "" {
		fmt.Fprintf(&b, "trust policy \"%s\": ", printable(clip(r.Policy.name, maxName)))
	}
	fmt.Fprintf(&b, "%s@%s %s: ", printable(clip(d.Repository, 120)), short(d.Digest), verb)
	var texts []string
	fix, unregistered, severe := "", false, false
	for _, x := range r.Reasons {
		if len(texts) == 0 || texts[len(texts)-1] != x.Text {
			texts = append(texts, x.Text)
		}
		unregistered = unregistered || x.Code == NoKey
		if fix == "" || x.Code == NoKey && !strings.HasPrefix(fix, registerCommand) && !strings.HasPrefix(fix, rootCommand) {
			fix, severe = x.Fix, x.Code == TooSevere
		}
	}
	between := "; "
	if r.Policy != nil && r.Policy.any {
		between = " and "
	}
	b.WriteString(clip(strings.Join(texts, between), 320))
	if more > 0 {
		fmt.Fprintf(&b, " (other policies refuse it too: %d)", more)
	}
	switch {
	case fix == "":
		return fit(b.String(), "", link)
	case unregistered && r.Policy != nil && r.Policy.name == BaselineName:
		return fit(b.String(), "Register one: "+fix+" , then sign; or set the baseline of project "+projectOf(d.Repository)+" to warn: hallmark project set "+projectOf(d.Repository)+" --baseline warn", link)
	case unregistered:
		return fit(b.String(), "Register it: "+fix, link)
	case severe:
		return fit(b.String(), "Update what has them, or answer for it: "+fix, link)
	}
	return fit(b.String(), "To put it right: "+fix, link)
}

// fit joins what has room. A command is told whole or not at all.
func fit(what, command, link string) string {
	what = printable(what)
	if more := ". " + command; command != "" && len(what)+len(more) <= maxMessage {
		what += more
	}
	if more := " . See " + printable(link); link != "" && len(what)+len(more) <= maxMessage {
		what += more
	}
	return clip(what, maxMessage-len("…"))
}

const (
	registerCommand = "hallmark keys add"
	rootCommand     = "hallmark trust-root add"
)

// fix is the command that would put a reason right.
func (e *evaluation) fix(r *rule, code Code, digest string) string {
	switch code {
	case NoKey:
		if root := e.missingRoot(r); root != "" {
			return e.register(rootCommand, root+" trusted_root.json")
		}
		return e.register(registerCommand, e.missing(r)+" cosign.pub")
	case VerifierError, EvidencePending:
		return ""
	}
	image := e.in.Repository + "@" + digest
	if e.in.Host != "" {
		image = e.in.Host + "/" + image
	}
	command := "cosign sign"
	if r.attestation {
		command = "cosign attest"
	}
	if e.byKey(r) {
		command += " --key cosign.key"
	}
	if r.attestation {
		kind, file := "custom", "predicate.json"
		if len(r.types) > 0 {
			kind, file = predicateFile(r.types[0])
		}
		return command + " --type " + shell(kind) + " --predicate " + file + " " + image
	}
	for _, name := range slices.Sorted(maps.Keys(r.annotations)) {
		command += " -a " + shell(name+"="+r.annotations[name])
	}
	switch r.bind {
	case bindAnnotation:
		command += " -a " + RepositoryAnnotation + "=" + e.in.Repository
	case bindLegacy:
		command += " --new-bundle-format=false"
	}
	return command + " " + image
}

// register is a command that registers something where the policy looks for it.
func (e *evaluation) register(command, what string) string {
	if e.p.project == "" && e.p.name != BaselineName {
		return command + " " + what
	}
	return command + " --project " + projectOf(e.in.Repository) + " " + what
}

// missingRoot is the trust root that is missing for what the rule wants; "" if it lacks something else.
func (e *evaluation) missingRoot(r *rule) string {
	for _, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			if a := &e.p.authorities[i]; !e.absent(a).none() {
				return shell(clip(e.in.Registered.absentRoot(a), 64))
			}
		}
	}
	return ""
}

// missing is the name under which a policy means the key that is not registered, or one to begin with.
func (e *evaluation) missing(r *rule) string {
	for _, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			if k := e.p.authorities[i].key; k != nil && k.ref != "" && !e.in.Registered.has(k.ref, e.p.project == "") {
				return shell(clip(k.ref, 64))
			}
		}
	}
	return "cosign"
}

// byKey reports whether a key could sign what r wants.
func (e *evaluation) byKey(r *rule) bool {
	for _, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			if a := &e.p.authorities[i]; a.key != nil || a.registered && e.in.Registered.keyed {
				return true
			}
		}
	}
	return false
}

// shell quotes an argument where it needs that.
func shell(s string) string {
	plain := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:/@=-+", r) {
			return -1
		}
		return r
	}
	if strings.Map(plain, s) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// predicateFile is what cosign attest --type calls a predicate type, and how such a file is usually named.
func predicateFile(wanted string) (kind, file string) {
	kind, file = core.CosignType(wanted), "predicate.json"
	switch kind {
	case "spdxjson":
		file = "sbom.spdx.json"
	case "cyclonedx":
		file = "sbom.cdx.json"
	}
	return kind, file
}
