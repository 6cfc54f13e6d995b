package gate

import "github.com/hallmarkhub/hallmark/core"

// BaselineName is the name of the hub's own policy; no other can have it.
const BaselineName = "baseline"

// Baseline is the policy that every project begins with: somebody who is registered for the project, its publisher or the
// hub vouches for the content, by a signature or by an SBOM. A mode that is unknown is enforced.
func Baseline(mode core.Baseline) *Policy {
	p := &Policy{
		name: BaselineName, any: true, index: IndexCovered, statements: maxStatements, sound: true,
		repositories: []glob{{source: "**", rest: true}},
		formats: map[core.EvidenceFormat]bool{
			core.FormatBundle: true, core.FormatLegacySignature: true, core.FormatLegacyAttestation: true},
		authorities: []authority{{name: "registered", registered: true}},
		rules: []rule{
			{name: "signature", any: []int{0}, count: 1},
			{name: "sbom", attestation: true, types: []string{"spdx", "cyclonedx"}, any: []int{0}, count: 1},
		},
	}
	switch mode {
	case core.BaselineOff:
		p.mode = ModeOff
	case core.BaselineWarn:
		p.mode = ModeWarn
	default:
		p.mode = ModeEnforce
	}
	return p
}
