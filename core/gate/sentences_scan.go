package gate

// scanned are the sentences about scans.
func (s sentence) scanned() (en, zh string) {
	switch s {
	case sNeverScanned:
		return "it has not been scanned for vulnerabilities", "尚未进行漏洞扫描"
	case sNotScannedBy:
		return "it has not been scanned by %s", "尚未由扫描器 %s 扫描"
	case sScanFailed:
		return "it could not be scanned by %s (%s)", "扫描器 %s 未能完成扫描（%s）"
	case sNotLookedFor:
		return "%s has not looked for vulnerabilities", "扫描器 %s 未检查漏洞"
	case sScanIncomplete:
		return "%s could not look for all vulnerabilities (%s)", "扫描器 %s 无法检查全部漏洞（%s）"
	case sScanStale:
		return "the scan by %s is of %s, and older than %s", "扫描器 %s 的结果生成于 %s，已超过 %s"
	case sNothingRuns:
		return "this index lists no image that could be run", "该索引不包含可运行的镜像"
	case sNobodyLooked:
		return "no scanner has looked for this in it: %s", "没有扫描器检查过其中的：%s"
	case sNoConfiguration:
		return "no scanner has read its configuration", "没有扫描器读取过其配置"
	case sSevere:
		return "vulnerabilities: %d, the worst %s: %s", "存在 %d 个漏洞，最严重为 %s：%s"
	case sTooSevere:
		return "vulnerabilities worse than %[2]s: %[1]d, the worst %[3]s: %[4]s", "%[1]d 个漏洞超过 %[2]s，最严重为 %[3]s：%[4]s"
	case sFindingIn:
		return "%s in %s", "%s（软件包 %s）"
	case sFindingFixed:
		return "%s in %s (fixed in %s)", "%s（软件包 %s，已在 %s 中修复）"
	case sAndMore:
		return "%s, and %d more", "%s，另有 %d 项"
	case sSecretIn:
		return "a secret (%s) in %s", "%[2]s 中有密钥（%[1]s）"
	case sLicenceOf:
		return "the licence %s of %s", "%[2]s 的许可证 %[1]s"
	case sCheckIn:
		return "%s (%s) in %s", "%[3]s 中有 %[1]s（%[2]s）"
	case sRunsAsRoot:
		return "it runs as root", "以 root 用户运行"
	case sNoLabel:
		return "it has no label %s", "缺少标签 %s"
	case sVEXUnread:
		return "%s; a VEX document about it cannot be read (%s), and none counts until that is mended or deleted", "%s；有一份 VEX 文档无法读取（%s），在修复或删除之前任何 VEX 均不生效"
	case sWantsNone:
		return "a scan%s without vulnerabilities", "扫描结果%s无漏洞"
	case sWantsSeverity:
		return "a scan%[2]s without vulnerabilities worse than %[1]s", "扫描结果%[2]s中没有超过 %[1]s 的漏洞"
	case sWantsContent:
		return "a scan%[2]s of its content (%[1]s)", "内容检查%[2]s（%[1]s）"
	}
	return "", ""
}
