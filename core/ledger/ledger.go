package ledger

import (
	"encoding/json"
	"strings"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// detail is what an audit row of a push or delete says besides the object's name.
type detail struct {
	Digest    string   `json:"digest"`
	MediaType string   `json:"media_type,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Subject   string   `json:"subject,omitempty"`
}

// Record writes the audit row of a change to a repository. It is local.Options.Record.
func Record(tx *db.Tx, e local.Event) (committed func(), err error) {
	b, err := json.Marshal(detail{string(e.Digest), e.MediaType, e.Tags, string(e.Subject)})
	if err != nil {
		return nil, err
	}
	object := e.Repository + "@" + string(e.Digest)
	if len(e.Tags) > 0 {
		object = e.Repository + ":" + strings.Join(e.Tags, ",")
	}
	return nil, store.Audit(tx, string(e.Kind), e.ProjectID, object, string(b))
}
