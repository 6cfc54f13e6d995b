package api

import (
	"slices"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
)

// rule says what an operation is for access: one action on one object.
type rule struct {
	action core.Action
	on     object
	// secret marks an answer that shows a secret once: it is never kept for a repeated request.
	secret bool
	// stored marks what is answered from what lies in the hub: of a project in front of another registry nothing does.
	stored bool
	// fresh asks a session for the password of the last minutes whoever it is of (W-14): what is made outlives the session.
	fresh bool
}

// object says what the action is done to, and so how a refusal reads.
type object int

const (
	onHub        object = iota
	onSelf              // the user who asks: needs an account
	onAnybody           // everybody may, without a credential too; the handler shows what access lets be seen
	onProject           // {project}
	onRepository        // {project}/{repository}
)

// rules is the table: every operation of openapi.yaml has a row, or it answers 403 to everybody. Besides the action of
// its row, updateProject asks for those of single fields, copyArtifact for pull on its source, getUser for nothing if
// one asks for oneself.
func rules() map[string]rule {
	return map[string]rule{
		"createUser":      {action: core.ActionHubUserWrite},
		"listUsers":       {action: core.ActionHubUserRead},
		"getUser":         {action: core.ActionHubUserRead},
		"updateUser":      {action: core.ActionHubUserWrite},
		"deleteUser":      {action: core.ActionHubUserWrite},
		"setUserPassword": {action: core.ActionHubUserWrite},

		// Whoever has a valid credential may ask what it is: a robot and a bound token too.
		"getMe":            {action: core.ActionHubInfoRead},
		"getMyPermissions": {action: core.ActionHubInfoRead},
		"updateMe":         {action: core.ActionSelf, on: onSelf},
		"changeMyPassword": {action: core.ActionSelf, on: onSelf},
		"createMyToken":    {action: core.ActionSelf, on: onSelf, secret: true, fresh: true},
		"listMyTokens":     {action: core.ActionSelf, on: onSelf},
		"deleteMyToken":    {action: core.ActionSelf, on: onSelf},

		"createSession":        {on: onAnybody},
		"listSessions":         {action: core.ActionSelf, on: onSelf},
		"deleteSessions":       {action: core.ActionSelf, on: onSelf},
		"deleteSession":        {action: core.ActionSelf, on: onSelf},
		"deleteCurrentSession": {action: core.ActionSelf, on: onSelf},
		"verifyCurrentSession": {action: core.ActionSelf, on: onSelf},

		"putRegistry":    {action: core.ActionHubRegistryWrite},
		"getRegistry":    {action: core.ActionHubRegistryRead},
		"listRegistries": {action: core.ActionHubRegistryRead},
		"deleteRegistry": {action: core.ActionHubRegistryWrite},
		"checkRegistry":  {action: core.ActionHubRegistryWrite},

		"putScanner":            {action: core.ActionHubScannerWrite},
		"getScanner":            {action: core.ActionHubScannerRead},
		"listScanners":          {action: core.ActionHubScannerRead},
		"deleteScanner":         {action: core.ActionHubScannerWrite},
		"pingScanner":           {action: core.ActionHubScannerWrite},
		"scanAll":               {action: core.ActionHubScannerWrite},
		"scanProject":           {action: core.ActionProjectWrite, on: onProject},
		"getScanJob":            {action: core.ActionProjectWrite, on: onProject},
		"cancelScanJob":         {action: core.ActionProjectWrite, on: onProject},
		"scanArtifact":          {action: core.ActionScan, on: onRepository, stored: true},
		"listWebhooks":          {action: core.ActionHubWebhookWrite},
		"getWebhook":            {action: core.ActionHubWebhookWrite},
		"putWebhook":            {action: core.ActionHubWebhookWrite},
		"deleteWebhook":         {action: core.ActionHubWebhookWrite},
		"testWebhook":           {action: core.ActionHubWebhookWrite},
		"listWebhookDeliveries": {action: core.ActionHubWebhookWrite},
		"redeliver":             {action: core.ActionHubWebhookWrite},

		"listProjectWebhooks":          {action: core.ActionWebhookWrite, on: onProject},
		"getProjectWebhook":            {action: core.ActionWebhookWrite, on: onProject},
		"putProjectWebhook":            {action: core.ActionWebhookWrite, on: onProject},
		"deleteProjectWebhook":         {action: core.ActionWebhookWrite, on: onProject},
		"testProjectWebhook":           {action: core.ActionWebhookWrite, on: onProject},
		"listProjectWebhookDeliveries": {action: core.ActionWebhookWrite, on: onProject},
		"redeliverOfProject":           {action: core.ActionWebhookWrite, on: onProject},

		"createProject": {action: core.ActionHubProjectCreate},
		"listProjects":  {on: onAnybody},
		"getProject":    {action: core.ActionProjectRead, on: onProject},
		"updateProject": {action: core.ActionProjectWrite, on: onProject},
		"deleteProject": {action: core.ActionProjectDelete, on: onProject},

		"listMembers":  {action: core.ActionMemberRead, on: onProject},
		"getMember":    {action: core.ActionMemberRead, on: onProject},
		"putMember":    {action: core.ActionMemberWrite, on: onProject},
		"deleteMember": {action: core.ActionMemberWrite, on: onProject},

		"listRobots":  {action: core.ActionRobotRead, on: onProject},
		"getRobot":    {action: core.ActionRobotRead, on: onProject},
		"createRobot": {action: core.ActionRobotWrite, on: onProject, secret: true},
		"updateRobot": {action: core.ActionRobotWrite, on: onProject},
		"deleteRobot": {action: core.ActionRobotWrite, on: onProject},
		"rotateRobot": {action: core.ActionRobotWrite, on: onProject, secret: true},

		"listLabels":          {action: core.ActionProjectRead, on: onProject},
		"getLabel":            {action: core.ActionProjectRead, on: onProject},
		"putLabel":            {action: core.ActionLabelWrite, on: onProject},
		"deleteLabel":         {action: core.ActionLabelWrite, on: onProject},
		"addArtifactLabel":    {action: core.ActionArtifactLabel, on: onRepository, stored: true},
		"removeArtifactLabel": {action: core.ActionArtifactLabel, on: onRepository, stored: true},

		"listRepositories": {action: core.ActionProjectRead, on: onProject, stored: true},
		"getRepository":    {action: core.ActionPull, on: onRepository, stored: true},
		"updateRepository": {action: core.ActionRepoWrite, on: onRepository, stored: true},
		"deleteRepository": {action: core.ActionDelete, on: onRepository, stored: true},
		"listTags":         {action: core.ActionPull, on: onRepository, stored: true},
		"getTag":           {action: core.ActionPull, on: onRepository, stored: true},
		"putTag":           {action: core.ActionPush, on: onRepository, stored: true},
		"deleteTag":        {action: core.ActionDelete, on: onRepository},

		"listArtifacts":      {action: core.ActionPull, on: onRepository, stored: true},
		"getArtifact":        {action: core.ActionPull, on: onRepository, stored: true},
		"listArtifactTags":   {action: core.ActionPull, on: onRepository, stored: true},
		"getArtifactHistory": {action: core.ActionPull, on: onRepository, stored: true},
		"listReferrers":      {action: core.ActionPull, on: onRepository},
		"copyArtifact":       {action: core.ActionPush, on: onRepository, stored: true},
		"deleteArtifact":     {action: core.ActionDelete, on: onRepository},

		"getSBOM":              {action: core.ActionPull, on: onRepository},
		"listArtifactPackages": {action: core.ActionPull, on: onRepository},
		"diffPackages":         {action: core.ActionPull, on: onRepository},
		"findPackage":          {on: onAnybody}, // in what one may pull

		"listVulnerabilities":        {action: core.ActionPull, on: onRepository},
		"diffVulnerabilities":        {action: core.ActionPull, on: onRepository},
		"getChecks":                  {action: core.ActionPull, on: onRepository},
		"listProjectVulnerabilities": {action: core.ActionProjectRead, on: onProject},
		"findVulnerabilities":        {on: onAnybody}, // in what one may pull
		"getVulnerability":           {on: onAnybody}, // likewise
		"listAliasSources":           {action: core.ActionHubInfoRead},
		"putAliases":                 {action: core.ActionHubAliasWrite},
		"deleteAliases":              {action: core.ActionHubAliasWrite},

		// Projects build on what the hub trusts and demands, so everybody may know it.
		"listAuthorities": {action: core.ActionHubInfoRead},
		"getAuthority":    {action: core.ActionHubInfoRead},
		"putAuthority":    {action: core.ActionHubTrustWrite},
		"deleteAuthority": {action: core.ActionHubTrustWrite},
		"revokeAuthority": {action: core.ActionHubTrustWrite},
		"listTrustRoots":  {action: core.ActionHubInfoRead},
		"getTrustRoot":    {action: core.ActionHubInfoRead},
		"putTrustRoot":    {action: core.ActionHubTrustWrite},
		"deleteTrustRoot": {action: core.ActionHubTrustWrite},
		"listPolicies":    {action: core.ActionHubInfoRead},
		"getPolicy":       {action: core.ActionHubInfoRead},
		"putPolicy":       {action: core.ActionHubTrustWrite},
		"deletePolicy":    {action: core.ActionHubTrustWrite},

		"listProjectAuthorities": {action: core.ActionProjectRead, on: onProject},
		"getProjectAuthority":    {action: core.ActionProjectRead, on: onProject},
		"putProjectAuthority":    {action: core.ActionProjectPolicy, on: onProject},
		"deleteProjectAuthority": {action: core.ActionProjectPolicy, on: onProject},
		"revokeProjectAuthority": {action: core.ActionProjectPolicy, on: onProject},
		"listProjectTrustRoots":  {action: core.ActionProjectRead, on: onProject},
		"getProjectTrustRoot":    {action: core.ActionProjectRead, on: onProject},
		"putProjectTrustRoot":    {action: core.ActionProjectPolicy, on: onProject},
		"deleteProjectTrustRoot": {action: core.ActionProjectPolicy, on: onProject},
		"listProjectPolicies":    {action: core.ActionProjectRead, on: onProject},
		"getProjectPolicy":       {action: core.ActionProjectRead, on: onProject},
		"putProjectPolicy":       {action: core.ActionProjectPolicy, on: onProject},
		"deleteProjectPolicy":    {action: core.ActionProjectPolicy, on: onProject},
		"dryRunProjectPolicy":    {action: core.ActionProjectPolicy, on: onProject, stored: true},
		"createException":        {action: core.ActionProjectPolicy, on: onProject},
		"listExceptions":         {action: core.ActionProjectPolicy, on: onProject},
		"getException":           {action: core.ActionProjectPolicy, on: onProject},
		"deleteException":        {action: core.ActionProjectPolicy, on: onProject},
		"getVerdict":             {action: core.ActionPull, on: onRepository},

		"listAudit":          {action: core.ActionHubAuditRead},
		"exportAudit":        {action: core.ActionHubAuditRead},
		"listProjectAudit":   {action: core.ActionAuditRead, on: onProject},
		"exportProjectAudit": {action: core.ActionAuditRead, on: onProject},

		"listJobs":        {action: core.ActionHubJobRead},
		"getJob":          {action: core.ActionHubJobRead},
		"getJobLog":       {action: core.ActionHubJobRead},
		"streamJobEvents": {action: core.ActionHubJobRead},
		"cancelJob":       {action: core.ActionHubJobWrite},
		"retryJob":        {action: core.ActionHubJobWrite},
		"listSchedules":   {action: core.ActionHubJobRead},
		"getSchedule":     {action: core.ActionHubJobRead},
		"updateSchedule":  {action: core.ActionHubJobWrite},

		"getSystemInfo":   {action: core.ActionHubInfoRead},
		"getSystemHealth": {action: core.ActionHubHealthRead},
		"getStatistics":   {action: core.ActionHubHealthRead},
		"getHubKey":       {on: onAnybody},
		"rotateKeys":      {action: core.ActionHubKeyRotate},
	}
}

// leastRole is the least role in a project that may do a, RoleNone if none may. It asks the table of access.
func leastRole(a core.Action) core.Role {
	p := &core.Project{ID: "p", Name: "p", Visibility: core.Private}
	user := &core.Principal{Kind: core.KindUser, ID: "u"}
	for _, role := range []core.Role{core.RoleGuest, core.RoleDeveloper, core.RoleMaintainer, core.RoleOwner} {
		if access.Can(user, a, access.Object{Project: p, Role: role, Repository: "p/r"}) {
			return role
		}
	}
	return core.RoleNone
}

// needed says what a principal would need for an action, as a part of a sentence; "" if nobody but administrators may.
func needed(a core.Action) string {
	switch role := leastRole(a); role {
	case core.RoleNone:
		return ""
	case core.RoleOwner:
		return "the role owner"
	default:
		return "the role " + string(role) + " or a higher one"
	}
}

// whoMay is the sentence of the documentation.
func whoMay(r rule) string {
	signedIn := access.Can(&core.Principal{Kind: core.KindUser, ID: "u"}, r.action, access.Object{})
	need := needed(r.action)
	switch {
	case r.on == onAnybody:
		return "For everybody."
	case r.on == onSelf:
		return "For every user, about oneself."
	case signedIn:
		return "For everybody who is signed in."
	case need == "":
		return "For administrators."
	case r.action == core.ActionPull || r.action == core.ActionProjectRead:
		return "In a public project for everybody; in a private one with " + need + ", or for a robot with that permission."
	case r.on == onRepository && slices.Contains(core.RepositoryActions(), r.action):
		return "With " + need + " in the project, or for a robot with the permission " + string(r.action) + "."
	}
	return "With " + need + " in the project."
}
