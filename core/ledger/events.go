package ledger

import (
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// tellEvents says what happened to a repository, if anybody is told of it: without subscribers it is one look.
func tellEvents(tx *db.Tx, e local.Event) error {
	if e.Kind != local.ManifestPushed && e.Kind != local.ManifestDeleted && e.Kind != local.TagDeleted {
		return nil
	}
	if told, err := store.Subscribed(tx, e.ProjectID); err != nil || !told {
		return err
	}
	data := event.Artifact{Repository: e.Repository, Digest: string(e.Digest), MediaType: e.MediaType, Tags: e.Tags, Subject: string(e.Subject)}
	data.Tags = data.Tags[:min(len(data.Tags), event.MaxTags)]
	write := func(t event.Type, subject string, data event.Artifact) error {
		return event.Write(tx, event.Event{Type: t, Project: e.ProjectID, Subject: subject, Data: data})
	}
	switch e.Kind {
	case local.TagDeleted:
		return write(event.TagDeleted, e.Repository+":"+e.Tags[0], data)
	case local.ManifestDeleted:
		return write(event.ArtifactDeleted, e.Repository+"@"+string(e.Digest), data)
	}
	if err := write(event.ArtifactPushed, e.Repository+"@"+string(e.Digest), data); err != nil {
		return err
	}
	for _, tag := range e.Tags {
		was, known, err := store.TagBefore(tx, e.Repository, tag)
		if err != nil {
			return err
		}
		change := event.TagMoved
		switch {
		case !known, was == string(e.Digest): // it lies in a registry behind the hub, or was pushed again
			continue
		case was == "":
			change = event.TagCreated
		}
		if err := write(change, e.Repository+":"+tag, event.Artifact{Repository: e.Repository, Digest: string(e.Digest), Tags: []string{tag}, Previous: was}); err != nil {
			return err
		}
	}
	return nil
}
