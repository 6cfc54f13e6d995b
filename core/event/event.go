package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Type is what happened. Receivers know it as io.hallmark. and this.
type Type string

// The types. The set is closed; docs/webhooks.md says what the data of each has.
const (
	ArtifactPushed     Type = "artifact.pushed"
	ArtifactDeleted    Type = "artifact.deleted"
	ArtifactSigned     Type = store.EventSigned     // somebody known said something of it, for the first time
	ArtifactScanned    Type = "artifact.scanned"    // a scan ended, with or without a report
	ArtifactVulnerable Type = "artifact.vulnerable" // newer data found what was not found before, in what did not change
	TagCreated         Type = "tag.created"
	TagMoved           Type = "tag.moved"
	TagDeleted         Type = "tag.deleted"
	ProjectCreated     Type = store.EventProjectCreated
	ProjectDeleted     Type = store.EventProjectDeleted
	PolicyChanged      Type = store.EventPolicyChanged // a policy, an authority or a trust root
	KeyRevoked         Type = store.EventKeyRevoked
	JobDead            Type = store.EventJobDead

	// Ping is what a test sends. Nobody subscribes to it.
	Ping Type = "webhook.ping"
)

// Types are all that can be subscribed to.
func Types() []Type {
	return []Type{ArtifactPushed, ArtifactDeleted, ArtifactSigned, ArtifactScanned, ArtifactVulnerable, TagCreated, TagMoved, TagDeleted,
		ProjectCreated, ProjectDeleted, PolicyChanged, KeyRevoked, JobDead}
}

// Covers reports whether a pattern covers a type: the type itself, artifact.* for all of a noun, or *.
func Covers(pattern string, t Type) bool {
	noun, all := strings.CutSuffix(pattern, "*")
	return pattern == string(t) || pattern == "*" || all && strings.HasSuffix(noun, ".") && strings.HasPrefix(string(t), noun)
}

// CoversAny reports whether there is a type that a pattern covers.
func CoversAny(pattern string) bool {
	return slices.ContainsFunc(Types(), func(t Type) bool { return Covers(pattern, t) })
}

// Artifact is the data of what happened to an artifact or a tag. What more there is to say of a scan stands beside it.
type Artifact struct {
	Repository string   `json:"repository"` // whole name
	Digest     string   `json:"digest"`
	MediaType  string   `json:"media_type,omitempty"`
	Tags       []string `json:"tags,omitempty"` // at most MaxTags
	Subject    string   `json:"subject,omitempty"`
	Previous   string   `json:"previous,omitempty"` // what the tag named before
}

// MaxTags is how many tags the data of an event name.
const MaxTags = 100

// Vulnerable is the data of ArtifactVulnerable.
type Vulnerable struct {
	Repository string     `json:"repository"`
	Digest     string     `json:"digest"`
	Tags       []string   `json:"tags,omitempty"` // at most MaxTags
	Severity   string     `json:"severity"`       // the worst of what is new, by which webhooks choose
	New        []NewFound `json:"new"`            // at most MaxNew, the worst first
	More       int        `json:"more,omitempty"` // there are beyond them
}

// NewFound is a vulnerability that was not found before.
type NewFound struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Package  string `json:"package"`
	Version  string `json:"version,omitempty"`
	Fixed    string `json:"fixed,omitempty"`
}

// MaxNew is how many vulnerabilities the data of an event name.
const MaxNew = 100

// Event is what happened to something.
type Event struct {
	Type    Type
	Project string // id; "" is the hub
	Subject string // what it happened to: repository@digest, or repository:tag
	Data    any    // becomes JSON; never a secret
}

// Write writes an event down, in the transaction of what caused it, if anybody is told of it. Of data beyond 128 KiB nobody is
// told more than that.
func Write(tx *db.Tx, e Event) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return fmt.Errorf("an event %s cannot be written: %w", e.Type, err)
	}
	return store.SaveEvent(tx, store.Event{ID: store.NewID(), Type: string(e.Type), ProjectID: e.Project, Subject: e.Subject, Data: string(data)})
}
