package core

import "time"

// Role is what a member is in a project. The order is by rights: each role may do what the ones before it may.
type Role string

// The roles.
const (
	RoleNone       Role = ""
	RoleGuest      Role = "guest"
	RoleDeveloper  Role = "developer"
	RoleMaintainer Role = "maintainer"
	RoleOwner      Role = "owner"
)

// Visibility says who sees a project without being a member.
type Visibility string

// The visibilities. A value that is neither is treated as private.
const (
	Public  Visibility = "public"
	Private Visibility = "private"
)

// Baseline says how the hub's baseline trust policy holds in a project (trust gate).
type Baseline string

// The values of Baseline.
const (
	BaselineEnforce Baseline = "enforce"
	BaselineWarn    Baseline = "warn"
	BaselineOff     Baseline = "off"
)

// Project is a namespace with members and settings: the first element of every repository name.
type Project struct {
	ID             string
	Name           string
	Visibility     Visibility
	Baseline       Baseline
	Description    string
	SparseIndexes  bool  // manifests may name layers and children that are not there
	QuotaBytes     int64 // 0: the hub's default
	AttachVerdicts bool  // the hub states what passes as an attestation of its own
	SBOMOnPush     bool  // the hub's scanner says what is in images that nobody trusted has attested that of
	// Registry names the existing registry that the project stands in front of; "": what is pushed lies in the hub.
	Registry     string
	Scanner      string // that scans its images; "": the default one
	ScanOnPush   bool
	ScanSchedule string // cron line by which all its images are scanned again; "": never
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Revision     int64 // grows with every change; the ETag
}

// Public reports whether everybody may pull.
func (p *Project) Public() bool { return p.Visibility == Public }
