package gate

import (
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// exempt compiles who and what passes anyway.
func (v *validator) exempt(doc *document) {
	for i := range doc.principals {
		v.principal(&doc.principals[i], doc.project.s)
	}
	seen := map[string]bool{}
	for _, d := range doc.digests {
		x := exemptDigest{digest: d.digest.s, expires: v.moment(d.expires), reason: d.reason.s, place: d.place}
		switch {
		case !validDigest(x.digest):
			v.add(d.place, "an exempt digest is written in full: sha256: and 64 hexadecimal digits")
		case seen[x.digest]:
			v.add(d.place, "%s is exempt twice", x.digest)
		case !d.expires.set:
			v.add(d.place, "an exempt digest needs a day on which the exemption ends: expires")
		case strings.TrimSpace(x.reason) == "" || len(x.reason) > maxText:
			v.add(d.place, "an exempt digest needs a reason of at most %d characters", maxText)
		}
		seen[x.digest] = true
		v.p.digests = append(v.p.digests, x)
	}
}

func (v *validator) principal(raw *rawPrincipal, project string) {
	x := exemptPrincipal{robot: raw.robot.s, job: raw.job.s}
	given := 0
	for _, t := range []text{raw.robot, raw.permission, raw.job} {
		if t.set {
			given++
		}
	}
	if given != 1 {
		v.add(raw.place, "an exempt principal is a robot, a permission or a job: one of them")
	}
	if raw.robot.set {
		x.robot = v.robot(raw.robot, project)
	}
	if raw.job.set && !simple(x.job) {
		v.add(raw.job.place, "job is the kind of a job, such as scan")
	}
	x.permission = core.Action(v.oneOf(raw.permission, "", string(core.ActionPush), string(core.ActionSign)))
	if len(raw.actions) == 0 {
		v.add(raw.place, "an exempt principal needs actions: manifest (manifests alone), or pull (layers too)")
	}
	for _, a := range raw.actions {
		switch v.oneOf(a, "", "manifest", "pull") {
		case "pull":
			x.access = append(x.access, AccessManifest, AccessBlob)
		case "manifest":
			x.access = append(x.access, AccessManifest)
		}
	}
	v.p.principals = append(v.p.principals, x)
}

// robot writes a robot's name in full. A short one means a robot of the policy's own project; a policy of the hub has
// none, and a short name there would mean somebody in every project.
func (v *validator) robot(t text, project string) string {
	owner, short, full := strings.Cut(strings.TrimPrefix(t.s, "robot$"), "+")
	switch {
	case full && strings.HasPrefix(t.s, "robot$") && projectName(owner) && short != "" && len(short) <= maxName:
		if project != "" && owner != project {
			v.add(t.place, "%s is not a robot of project %s", quoted(t.s), project)
		}
		return t.s
	case project == "":
		v.add(t.place, "a policy of the hub names robots in full: robot$project+name")
	case t.s == "" || len(t.s) > maxName || strings.ContainsAny(t.s, "$+/ \t\r\n"):
		v.add(t.place, "robot is the name of a robot of the project")
	}
	return "robot$" + project + "+" + t.s
}

// validDigest reports whether s is a digest as the hub writes them.
func validDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	size := 0
	switch algorithm {
	case "sha256":
		size = 64
	case "sha512":
		size = 128
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return size > 0 && len(hex) == size
}
