package core

// Action is something that can be allowed. The set is closed; the table of who may do what is in core/access.
type Action string

// Actions on the content of a repository. These are the ones robots and tokens can be granted.
const (
	ActionPull   Action = "pull"
	ActionPush   Action = "push"
	ActionDelete Action = "delete"
	ActionSign   Action = "sign" // push of trust artifacts only; push implies it
	ActionScan   Action = "scan"
)

// Actions on a project.
const (
	ActionProjectRead   Action = "project.read"   // see that it exists, its settings and repositories
	ActionProjectWrite  Action = "project.write"  // description and other harmless settings
	ActionProjectPolicy Action = "project.policy" // visibility, baseline, sparse indexes, attached verdicts, who is trusted, exceptions: what lowers a guard
	ActionProjectDelete Action = "project.delete"
	ActionMemberRead    Action = "member.read"
	ActionMemberWrite   Action = "member.write"
	ActionRobotRead     Action = "robot.read"
	ActionRobotWrite    Action = "robot.write"
	ActionLabelWrite    Action = "label.write" // create, change and remove labels of the project
	ActionArtifactLabel Action = "artifact.label"
	ActionRepoWrite     Action = "repository.write" // description of a repository
	ActionAuditRead     Action = "audit.read"       // of the project
	ActionWebhookWrite  Action = "webhook.write"    // who is told what happens in the project, and what became of that
)

// Actions on the hub.
const (
	ActionHubProjectCreate Action = "hub.project.create"
	ActionHubQuotaWrite    Action = "hub.quota.write"
	ActionHubUserRead      Action = "hub.user.read"
	ActionHubUserWrite     Action = "hub.user.write"
	ActionHubAuditRead     Action = "hub.audit.read"
	ActionHubJobRead       Action = "hub.job.read"
	ActionHubJobWrite      Action = "hub.job.write"
	ActionHubKeyRotate     Action = "hub.key.rotate"
	ActionHubTrustWrite    Action = "hub.trust.write" // authorities, trust roots and policies of every project
	ActionHubRegistryRead  Action = "hub.registry.read"
	ActionHubAliasWrite    Action = "hub.alias.write"    // other names of vulnerabilities
	ActionHubRegistryWrite Action = "hub.registry.write" // to which hosts the hub talks and as whom, and projects that do so
	ActionHubScannerRead   Action = "hub.scanner.read"
	ActionHubScannerWrite  Action = "hub.scanner.write" // which adapters images are shown to, and scans of the whole hub
	ActionHubInfoRead      Action = "hub.info.read"     // version, addresses and what every project is demanded: any signed-in principal
	ActionHubWebhookWrite  Action = "hub.webhook.write" // who is told what happens in any project
	ActionHubHealthRead    Action = "hub.health.read"
)

// Actions on oneself: own profile, password, tokens, sessions.
const (
	ActionSelf Action = "self"
)

// RepositoryActions are the actions that grants of robots and tokens may name.
func RepositoryActions() []Action {
	return []Action{ActionPull, ActionPush, ActionDelete, ActionSign, ActionScan}
}
