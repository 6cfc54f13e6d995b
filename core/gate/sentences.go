package gate

import (
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// sentence is a place in the catalogue of everything that a verdict says.
type sentence int8

const (
	sNone sentence = iota
	sVerbatim
	sNames

	// What is between parts of a sentence.
	sAnd
	sOrTypes
	sEither
	sComma
	sBoth

	// Why a policy is not satisfied.
	sPending
	sIndexUnknown
	sChild
	sSoFar
	sMissing
	sOfOthers
	sRevoked
	sTlogMissing
	sExpired
	sPredicate
	sClaim
	sUnchecked
	sNoneValid
	sNobody
	sAllRevoked
	sNoKey
	sNoRoot
	sNotChecked
	sPolicyUnreadable

	// What is wanted, and from whom.
	sSignature
	sAttestation
	sSBOM
	sAnyOf
	sCountOf
	sAnybodyRegistered
	sSigner
	sByWhom
	sWants
	sOfTheLast
	sConditions
	sNothingPasses

	// What scans say, and what is wanted of them.
	sNeverScanned
	sNotScannedBy
	sScanFailed
	sNotLookedFor
	sScanIncomplete
	sScanStale
	sNothingRuns
	sNobodyLooked
	sNoConfiguration
	sSevere
	sTooSevere
	sFindingIn
	sFindingFixed
	sAndMore
	sSecretIn
	sLicenceOf
	sCheckIn
	sRunsAsRoot
	sNoLabel
	sVEXUnread
	sWantsNone
	sWantsSeverity
	sWantsContent

	// Why a piece of evidence does not count.
	sFoundOthers
	sFoundRevoked
	sFoundTlog
	sFoundExpired
	sFoundPredicate
	sFoundNobody
	sFoundElsewhere
	sUnverified
	sNotByKeys
	sNoTrustRoot
	sNoTime
	sUnverifiable

	sEnd
)

// joins says that a sentence stands between parts.
func (s sentence) joins() bool { return s >= sAnd && s <= sBoth }

// in is the sentence in a language, as fmt takes it.
func (s sentence) in(l Language) string {
	en, zh := s.both()
	if l == Chinese {
		return zh
	}
	return en
}

func (s sentence) both() (en, zh string) {
	switch s {
	case sVerbatim:
		return "%s", "%s"
	case sNames:
		return "%s", " %s "
	case sAnd:
		return " and ", " 和 "
	case sOrTypes:
		return " or ", " 或 "
	case sEither:
		return ", or ", "，或"
	case sBoth:
		return ", and ", "，并且"
	case sComma:
		return ", ", "、"
	}
	if en, zh = s.reason(); en == "" {
		en, zh = s.wanted()
	}
	if en == "" {
		en, zh = s.scanned()
	}
	if en == "" {
		en, zh = s.finding()
	}
	return en, zh
}

func (s sentence) reason() (en, zh string) {
	switch s {
	case sPending:
		return "what has arrived is still being verified: try again in a moment", "刚推送的内容仍在验证，请稍后再试"
	case sIndexUnknown:
		return "what this index lists is not known", "无法得知该索引包含的内容"
	case sChild:
		return "its child %s: %s", "其中的 %s：%s"
	case sSoFar:
		return "%s wanted by %s, %d of %d signers so far", "需要%[2]s的%[1]s，目前 %[4]d 个签名者中只有 %[3]d 个"
	case sMissing:
		return "no %s by %s", "没有%[2]s的%[1]s"
	case sOfOthers:
		return "no %s by %s (%d found, the nearest%s)", "没有%[2]s的%[1]s，找到 %[3]d 个，最接近的一个%[4]s"
	case sRevoked:
		return "the %s%s does not count, since that signer is revoked", "%s%s无效：该签名者已被吊销"
	case sTlogMissing:
		return "the %s%s lacks the log entry or time that the policy wants", "%s%s缺少策略要求的日志条目或时间"
	case sExpired:
		return "the %s%s is too old, or was made when its key was not valid", "%s%s过旧，或签署时密钥不在有效期内"
	case sPredicate:
		return "the %s%s does not say what the policy wants", "%s%s的内容不符合策略要求"
	case sClaim:
		return "the %s%s lacks the signed annotation or repository that the policy wants", "%s%s缺少策略要求的已签名注解或仓库"
	case sUnchecked:
		return "the %s%s could not be checked", "%s%s无法检查"
	case sNoneValid:
		return "no valid %s by %s (%d found, 0 valid)", "没有%[2]s的有效%[1]s（找到 %[3]d 个，有效 0 个）"
	case sNobody:
		return "no key or identity is registered for project %s", "项目 %s 尚未登记任何可信的密钥或身份"
	case sAllRevoked:
		return "every key and identity is revoked that is registered for project %s", "项目 %s 登记的密钥和身份均已被吊销"
	case sNoKey:
		return "no key %s is registered", "密钥 %s 尚未登记"
	case sNoRoot:
		return "no trust root %s is there", "信任根 %s 不存在"
	case sNotChecked:
		return "it could not be checked", "无法完成检查"
	case sPolicyUnreadable:
		return "the policy cannot be read", "无法读取该策略"
	}
	return "", ""
}

func (s sentence) wanted() (en, zh string) {
	switch s {
	case sSignature:
		return "signature", "签名"
	case sAttestation:
		return "attestation (%s)", "证明（%s）"
	case sSBOM:
		return "SBOM attestation (%s)", " SBOM 证明（%s）"
	case sAnyOf:
		return "any of [%s]", " [%s] 中任意一个"
	case sCountOf:
		return "%d of [%s]", " [%[2]s] 中 %[1]d 个"
	case sAnybodyRegistered:
		return "a registered key or identity", "已登记的密钥或身份"
	case sSigner:
		return "key %s", "密钥 %s"
	case sByWhom:
		return " by %s", "（由 %s 签署）"
	case sWants:
		return "%s by %s%s%s", "%[2]s的%[1]s%[3]s%[4]s"
	case sOfTheLast:
		return " of the last %s", "（最近 %s 内）"
	case sConditions:
		return " with conditions", "（附带条件）"
	case sNothingPasses:
		return "nothing passes: the policy cannot be read", "无法读取该策略：一律拒绝"
	}
	return "", ""
}

func (s sentence) finding() (en, zh string) {
	switch s {
	case sFoundOthers:
		return "the signature is valid, but not by anybody whom the rule wants", "签名有效，但签名者不在要求之列"
	case sFoundRevoked:
		return "its signer is revoked", "签名者已被吊销"
	case sFoundTlog:
		return "it lacks the log entry, certificate timestamp or verified time that is wanted", "缺少要求的日志条目、证书时间戳或可验证的时间"
	case sFoundExpired:
		return "it is too old, or was made when its key was not valid", "过旧，或签署时密钥不在有效期内"
	case sFoundPredicate:
		return "what was signed does not say what the rule wants, or newer statements of the signer came first", "已签署的内容不符合要求，或同一签名者有更新的声明"
	case sFoundNobody:
		return "nobody who is known has signed it", "没有已知的签名者"
	case sFoundElsewhere:
		return "it is about another digest, or of a format or size that the policy does not accept", "针对的是其他摘要，或其格式、大小不被策略接受"
	case sUnverified:
		return "it could not be read or verified", "无法读取或验证"
	case sNotByKeys:
		return core.ProblemNotByKeys, "在此登记的 %d 个密钥均未签署它"
	case sNoTrustRoot:
		return core.ProblemNoTrustRoot, "它由证书签署，而此处没有登记信任根"
	case sNoTime:
		return core.ProblemNoTime, "信任根的日志和时间戳机构均未证明其签署时间"
	case sUnverifiable:
		return core.ProblemUnverifiable, "它无法被验证"
	}
	return "", ""
}

// In says a code without any particulars.
func (c Code) In(l Language) string {
	en, zh := "it could not be checked", "无法完成检查，请稍后再试或联系管理员"
	switch c {
	case NoKey:
		en, zh = "who is wanted is not registered", "所要求的密钥、身份或信任根尚未登记"
	case NoSignature:
		en, zh = "there is no signature", "没有签名"
	case MissingAttestation:
		en, zh = "an attestation is missing", "缺少所要求的证明"
	case NoValidSignature:
		en, zh = "no signature is valid", "没有有效的签名"
	case UntrustedIdentity:
		en, zh = say(sFoundOthers).in(English), say(sFoundOthers).in(Chinese)
	case Revoked:
		en, zh = say(sFoundRevoked).in(English), say(sFoundRevoked).in(Chinese)
	case TlogMissing:
		en, zh = say(sFoundTlog).in(English), say(sFoundTlog).in(Chinese)
	case Expired:
		en, zh = say(sFoundExpired).in(English), say(sFoundExpired).in(Chinese)
	case PredicateRejected:
		en, zh = "what was signed does not say what is wanted", "已签署的内容不符合策略要求"
	case NotScanned:
		en, zh = "it is not scanned, or not for what is asked", "尚未扫描，或未扫描所要求的内容"
	case ScanStale:
		en, zh = "the scan is too old", "扫描结果过旧"
	case TooSevere:
		en, zh = "it has vulnerabilities that are too bad", "存在超过允许严重程度的漏洞"
	case NotCompliant:
		en, zh = "there is something in it that must not be, or something missing", "镜像内容不合规"
	case EvidencePending:
		en, zh = say(sPending).in(English), say(sPending).in(Chinese)
	case VerifierError:
	}
	if l == Chinese {
		return zh
	}
	return en
}

// problem finds what core/trust said of evidence in the catalogue; a phrase of nothing if it is not one of ours.
func problem(text string) phrase {
	for _, s := range []sentence{sNoTrustRoot, sNoTime, sUnverifiable} {
		if s.in(English) == text {
			return say(s)
		}
	}
	before, after, _ := strings.Cut(core.ProblemNotByKeys, "%d")
	rest, ours := strings.CutPrefix(text, before)
	number, ends := strings.CutSuffix(rest, after)
	if n, err := strconv.Atoi(number); ours && ends && err == nil {
		return say(sNotByKeys, n)
	}
	return phrase{}
}
