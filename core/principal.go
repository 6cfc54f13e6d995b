package core

import "context"

// PrincipalKind says what sort of party a principal is.
type PrincipalKind string

// The kinds. The zero value is none of them and may do nothing.
const (
	KindAnonymous PrincipalKind = "anonymous"
	KindUser      PrincipalKind = "user"
	KindRobot     PrincipalKind = "robot"
	// KindOperator is somebody with access to the data directory of the running hub (its local socket).
	KindOperator PrincipalKind = "operator"
	// KindSystem is the hub itself: jobs.
	KindSystem PrincipalKind = "system"
	// KindJob is a job that gave somebody else, such as a scanner, what one image can be read with. See OneImage.
	KindJob PrincipalKind = "job"
)

// Principal is who asks. It is made by core/auth from a verified credential only, never from a header, a user agent or
// a network position, and is not changed afterwards: it is shared between requests.
type Principal struct {
	Kind PrincipalKind
	ID   string // of the row of the user, robot or job; "" for the others
	Name string // "alice", "robot$project+ci", "anonymous", "local operator"

	Admin bool // a user with rights everywhere; operators and the system too

	// Project is the id of the project a robot belongs to, else "".
	Project string

	// Grants bound what the credential can be used for, besides what its owner may do: permissions of a robot, scopes
	// of a personal token or of a registry token. nil means no bound; empty means nothing.
	Grants []Grant

	// Credential names the token or session for the audit trail: "password", "token:<id>", "session:<id>", "robot:<id>".
	Credential string

	// RegistryToken is set when the request carried a token of the token service: what is missing then may be a scope,
	// and the client is told to fetch another token instead of being refused for good.
	RegistryToken bool

	// Owner is, behind a registry token, the same party with the bounds of the credential that the token was got with.
	// Clients ask for the scopes of one request: whether they may push at all does not show in them. Else nil.
	Owner *Principal

	// Image is all that a KindJob may read, and nil for others.
	Image *OneImage
}

// OneImage is a manifest with the blobs that it names, for one try of one job.
type OneImage struct {
	Kind       string // of the job
	Fence      int64  // of the try: those before and after it have others
	Repository string
	Digest     string
}

// Grant allows actions on repositories whose name matches a pattern: "**" is everything, "*" one path element or a part
// of it, anything else is literal.
type Grant struct {
	Repository string   `json:"repository"`
	Actions    []Action `json:"actions"`
}

// Anonymous is the principal of a request without credentials.
func Anonymous() *Principal { return &Principal{Kind: KindAnonymous, Name: "anonymous"} }

// System is the principal of the hub's own work.
func System() *Principal { return &Principal{Kind: KindSystem, Name: "hallmark", Admin: true} }

// Operator is the principal of the local socket.
func Operator() *Principal {
	return &Principal{Kind: KindOperator, Name: "local operator", Admin: true, Credential: "socket"}
}

// Actor is the text that identifies p in rows: kind and id, or the kind alone.
func (p *Principal) Actor() string {
	if p.ID == "" {
		return string(p.Kind)
	}
	return string(p.Kind) + ":" + p.ID
}

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of ctx, or one that may do nothing if there is none.
func PrincipalFrom(ctx context.Context) *Principal {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok && p != nil {
		return p
	}
	return &Principal{}
}

// Origin is where a request came from, for the audit trail.
type Origin struct {
	IP        string
	RequestID string
}

type originKey struct{}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginFrom returns the origin of ctx, or a zero one.
func OriginFrom(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
