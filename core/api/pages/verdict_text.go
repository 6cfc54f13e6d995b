package pages

import "github.com/hallmarkhub/hallmark/core/gate"

// verdictText is what the pages of verdicts say in one language.
type verdictText struct {
	Title, Allowed, AllowedLead, Refused, RefusedLead, Policy, Unnamed, OfHub, OfProject, OfBaseline, Wants, Missing, Found, Kind, Signer, Counts, Nobody,
	Yes, No, Omitted, NoPolicy, Do, After, Several, MoreOfThem, None, NoneLead, Passing, By, Until string
	Outcomes, Modes, Kinds map[string]string
	Passes                 map[gate.Pass]string
	language               gate.Language // of what the gate says
}

func verdictEnglish() *verdictText {
	return &verdictText{
		Title: "Verdict - Hallmark", Allowed: "May be pulled", AllowedLead: "Everybody who may pull from this repository gets it.",
		Refused: "Refused", RefusedLead: "A policy demands something that this image does not have. Nobody who only pulls gets it until that is put right.",
		Policy: "Policy", Unnamed: "without a name", OfHub: "of the hub", OfProject: "of project",
		OfBaseline: "in force in every project unless it is lowered there", Wants: "It wants:", Missing: "What is missing",
		Found: "What was found", Kind: "What", Signer: "Signed by", Counts: "Counts", Nobody: "nobody who is known", Yes: "yes", No: "no",
		Omitted: "Further ones:", NoPolicy: "No policy has anything to say about it.",
		Do:      "To put it right",
		After:   "What is signed or attested counts at once: pull again.",
		Several: "This digest lies in several repositories", MoreOfThem: "There are further ones.",
		None:     "There is nothing here that you may see",
		NoneLead: "It does not exist, or lies in a project that you cannot pull from like this. Whoever may pull finds the verdict with:",
		Outcomes: map[string]string{"denied": "refuses", "allowed": "satisfied", "exempt": "not asked", "warned": "would refuse, and warns", "audited": "would refuse, and notes it"},
		Modes:    map[string]string{"enforce": "enforced", "warn": "warns only", "audit": "notes only", "off": "off"},
		Kinds:    map[string]string{"signature": "signature", "attestation": "attestation", "unreadable": "unreadable"},
		Passing:  "What was found and passes", By: "Let pass by", Until: "Until",
		Passes:   map[gate.Pass]string{gate.PassException: "an exception of the project", gate.PassAllow: "the policy itself", gate.PassVEX: "a VEX document"},
		language: gate.English,
	}
}

func verdictChinese() *verdictText {
	return &verdictText{
		Title: "判定结果 - Hallmark", Allowed: "允许拉取", AllowedLead: "凡有权拉取此仓库的人都可以获取该镜像。",
		Refused: "拒绝拉取", RefusedLead: "该镜像不满足策略要求。在补齐之前，仅有拉取权限的人无法获取。",
		Policy: "策略", Unnamed: "（未命名）", OfHub: "全站策略", OfProject: "项目策略：", OfBaseline: "默认策略，除非项目自行放宽", Wants: "要求：", Missing: "缺少什么",
		Found: "已找到的签名与证明", Kind: "类型", Signer: "签名者", Counts: "是否有效", Nobody: "未知签名者", Yes: "有效", No: "无效",
		Omitted: "未列出的条数：", NoPolicy: "没有策略适用于该镜像。",
		Do:      "如何处理",
		After:   "签名或证明推送后立即生效，之后重新拉取即可。",
		Several: "多个仓库包含此摘要", MoreOfThem: "还有更多仓库未列出。",
		None:     "这里没有您可以查看的内容",
		NoneLead: "它不存在，或位于您目前无权拉取的项目中。有拉取权限的人可以用以下命令查看判定结果：",
		Outcomes: map[string]string{"denied": "拒绝", "allowed": "满足", "exempt": "豁免", "warned": "不满足，仅警告", "audited": "不满足，仅记录"},
		Modes:    map[string]string{"enforce": "强制执行", "warn": "仅警告", "audit": "仅记录", "off": "已关闭"},
		Kinds:    map[string]string{"signature": "签名", "attestation": "证明", "unreadable": "无法读取"},
		Passing:  "已发现但放行的问题", By: "放行依据", Until: "有效期至",
		Passes:   map[gate.Pass]string{gate.PassException: "项目例外", gate.PassAllow: "策略本身", gate.PassVEX: "VEX 文档"},
		language: gate.Chinese,
	}
}
