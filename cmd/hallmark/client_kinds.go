package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// kind is a noun of the API as the commands know it.
type kind struct {
	name, plural string
	in           container
	collection   string   // last part of the path of the list
	key          string   // field that a person knows an item by
	byID         bool     // the path of an item has its id instead of its key
	columns      []string // of the table
	readOnly     bool     // cannot be deleted
	noItem       bool     // there are only lists
	noRevision   bool     // an item cannot be read by itself, and is deleted whatever it is now
}

// container is what items of a kind belong to.
type container int

const (
	inHub container = iota
	inMe
	inProject
	inRepository
	inEither // in a project if one is named, else in the hub
)

func kinds() []kind {
	return []kind{
		{name: "user", plural: "users", collection: "users", key: "username", columns: []string{"username", "admin", "disabled", "email", "display_name"}},
		{name: "token", plural: "tokens", in: inMe, collection: "tokens", key: "name", byID: true, columns: []string{"name", "created_at", "expires_at", "last_used_at"}},
		{name: "registry", plural: "registries", collection: "registries", key: "name", columns: []string{"name", "url", "username", "updated_at"}},
		{name: "scanner", plural: "scanners", collection: "scanners", key: "name", columns: []string{"name", "url", "default", "paused", "ready", "software", "database_at", "problem"}},
		{name: "project", plural: "projects", collection: "projects", key: "name", columns: []string{"name", "visibility", "role", "description"}},
		{name: "member", plural: "members", in: inProject, collection: "members", key: "username", columns: []string{"username", "role", "created_at"}},
		{name: "robot", plural: "robots", in: inProject, collection: "robots", key: "name", byID: true, columns: []string{"name", "username", "disabled", "expires_at", "last_used_at"}},
		{name: "label", plural: "labels", in: inProject, collection: "labels", key: "name", columns: []string{"name", "color", "description"}},
		{name: "repository", plural: "repositories", in: inProject, collection: "repositories", key: "name", columns: []string{"full_name", "artifacts", "tags", "pulls", "updated_at"}},
		{name: "artifact", plural: "artifacts", in: inRepository, collection: "artifacts", key: "digest", columns: []string{"digest", "artifact_type", "tags", "size", "pushed_at"}},
		{name: "tag", plural: "tags", in: inRepository, collection: "tags", key: "name", columns: []string{"name", "digest", "size", "updated_at"}},
		{name: "package", plural: "packages", in: inRepository, readOnly: true, columns: []string{"purl", "licences", "platforms", "source", "trusted"}},
		{name: "sbom", plural: "sboms", in: inRepository, readOnly: true, columns: []string{"format", "version", "packages", "platform", "source", "trusted", "signer", "problem", "document"}},
		{name: "vulnerability", plural: "vulnerabilities", in: inRepository, readOnly: true, columns: []string{"id", "severity", "package", "version", "fixed", "title", "platforms", "exception.expires_at"}},
		{name: "alias", plural: "aliases", collection: "vulnerability-aliases", key: "name", noItem: true, noRevision: true, columns: []string{"name", "aliases", "imported_at"}},
		{name: "authority", plural: "authorities", in: inEither, collection: "authorities", key: "name", columns: []string{"name", "fingerprint", "identity.subject", "identity.subject_regex", "revoked_at", "description"}},
		{name: "trust-root", plural: "trust-roots", in: inEither, collection: "trust-roots", key: "name", columns: []string{"name", "built_in", "updated_at"}},
		{name: "policy", plural: "policies", in: inEither, collection: "policies", key: "name", columns: []string{"name", "summary.mode", "summary.scope", "summary.wants"}},
		{name: "exception", plural: "exceptions", in: inProject, collection: "exceptions", key: "id", columns: []string{"id", "vulnerability", "purl", "repository", "expires_at", "created_by", "reason"}},
		{name: "webhook", plural: "webhooks", in: inEither, collection: "webhooks", key: "name", columns: []string{"name", "channel", "host", "to", "events", "repositories", "paused", "problem"}},
		{name: "delivery", plural: "deliveries", readOnly: true, noItem: true, columns: []string{"id", "type", "subject", "state", "attempts", "status", "created_at", "error"}},
		{name: "job", plural: "jobs", collection: "jobs", key: "id", readOnly: true, columns: []string{"id", "kind", "state", "progress", "attempts", "created_at", "message"}},
		{name: "schedule", plural: "schedules", collection: "schedules", key: "name", readOnly: true, columns: []string{"name", "kind", "spec", "paused", "next_at", "last_at"}},
		{name: "audit", plural: "audit", collection: "audit", key: "id", readOnly: true, noItem: true, columns: []string{"at", "actor_name", "action", "object", "ip"}},
	}
}

func kindNames() []string {
	var out []string
	for _, k := range kinds() {
		out = append(out, k.plural)
	}
	return out
}

func findKind(name string) (kind, error) {
	for _, k := range kinds() {
		if strings.EqualFold(name, k.name) || strings.EqualFold(name, k.plural) {
			return k, nil
		}
	}
	return kind{}, usagef("there is no kind %q; there are %s", name, strings.Join(kindNames(), ", "))
}

// target is what a command names: a list, and an item of it or "".
type target struct {
	kind
	project string
	list    string // path
	item    string // key, or "" for the whole list
}

// find makes a target of what was typed. What belongs to a project is named NAME with --project, or PROJECT/NAME; what
// belongs to a repository PROJECT/REPOSITORY:TAG or PROJECT/REPOSITORY@DIGEST, and without the end it is the list.
func (c *cli) find(k kind, typed string) (target, error) {
	t := target{kind: k, project: c.project, item: typed}
	switch k.in {
	case inHub:
		t.list = client.Path(k.collection)
		if k.noItem && c.project != "" {
			t.list = client.Path("projects", c.project, k.collection)
		}
	case inEither:
		if project, rest, found := strings.Cut(typed, "/"); found && c.project == "" {
			t.project, t.item = project, rest
		}
		if t.list = client.Path(k.collection); t.project != "" {
			t.list = client.Path("projects", t.project, k.collection)
		}
	case inMe:
		t.list = client.Path("users", "me", k.collection)
	case inProject:
		if c.project == "" {
			project, rest, found := strings.Cut(robotName(typed), "/")
			if project == "" {
				return t, usagef("%s belong to a project: name it with --project, or as PROJECT/NAME", k.plural)
			}
			if t.project, t.item = project, rest; !found && typed != "" && k.name != "repository" {
				return t, usagef("which project does %s %q belong to? Name it with --project, or as PROJECT/%s", k.name, typed, typed)
			}
		}
		t.list = client.Path("projects", t.project, k.collection)
	case inRepository:
		repository, reference := cutReference(typed)
		if c.project != "" {
			repository = c.project + "/" + repository
		}
		project, path, found := strings.Cut(repository, "/")
		if !found || path == "" {
			return t, usagef("%s belong to a repository: name it as PROJECT/REPOSITORY", k.plural)
		}
		t.project, t.item = project, reference
		t.list = client.Path("projects", project, "repositories", path, k.collection)
	}
	if t.item != "" && k.noItem {
		return t, usagef("%s is a list: filter it with --filter NAME=VALUE", k.plural)
	}
	return t, nil
}

// robotName turns what a robot logs in with into PROJECT/NAME.
func robotName(typed string) string {
	if rest, ok := strings.CutPrefix(typed, "robot$"); ok {
		return strings.Replace(rest, "+", "/", 1)
	}
	return typed
}

// cutReference cuts PROJECT/REPOSITORY:TAG and PROJECT/REPOSITORY@DIGEST.
func cutReference(s string) (repository, reference string) {
	if repository, digest, ok := strings.Cut(s, "@"); ok {
		return repository, digest
	}
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// path is the path of the item. Where that needs an id it is looked up by the name, unless an id was typed.
func (t target) path(ctx context.Context, cl *client.Client) (string, error) {
	if !t.byID || looksLikeID(t.item) {
		return t.list + client.Path(t.item), nil
	}
	id := ""
	err := cl.List(ctx, t.list+"?limit=200", 0, func(item json.RawMessage) error {
		var v map[string]json.RawMessage
		if err := json.Unmarshal(item, &v); err != nil {
			return err
		}
		if plainText(v[t.key]) == t.item {
			id = plainText(v["id"])
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", notThere(t)
	}
	return t.list + client.Path(id), nil
}

func notThere(t target) error {
	return &client.Problem{Status: http.StatusNotFound, Code: "not_found", Detail: fmt.Sprintf("There is no %s %q.", t.name, t.item)}
}

// orList adds to the news that there is no such thing how to find out what there is. Of the hub and of a project there can
// be one of the same name, and the wrong one is easily asked for.
func (t target) orList(err error) error {
	if client.Code(err) != "not_found" || t.in != inEither {
		return err
	}
	where := "; those of a project with --project"
	if t.project != "" {
		where = " --project " + t.project + "; those of the hub without"
	}
	return fmt.Errorf("%w\nWhich there are says: hallmark get %s%s", err, t.plural, where)
}

func looksLikeID(s string) bool {
	return len(s) == 36 && strings.Count(s, "-") == 4 && strings.Trim(s, "0123456789abcdef-") == ""
}

// query makes the query of a list out of --filter and --limit. The hub says which filters there are.
func (c *cli) query() (string, error) {
	v := url.Values{"limit": {"200"}}
	if c.limit > 0 && c.limit < 200 {
		v.Set("limit", fmt.Sprint(c.limit))
	}
	for _, f := range c.filters {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return "", usagef("a filter is NAME=VALUE, and %q is none", f)
		}
		v.Set(name, value)
	}
	return "?" + v.Encode(), nil
}
