package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Artifact is a manifest that a repository has: an image, an index, a chart, a signature.
type Artifact struct {
	Digest       string
	MediaType    string
	ArtifactType string // the artifact type, else the media type of the config
	Size         int64  // bytes of the manifest and, as it says, of config and layers
	Platforms    []Platform
	Annotations  map[string]string // not in lists
	Subject      string            // digest of what it refers to, or ""
	ConfigDigest string
	ConfigType   string
	Tags         []string          // in byte order
	Labels       []string          // likewise
	SBOMs        []core.SBOMSource // where bills of materials about it come from, or about what it lists, each once
	PushedAt     time.Time
	PushedBy     string // kind:id
	Pulls        int64  // ever
	Scan         *ScanSummary
}

// Platform is one an index has an image for.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
	OSVersion    string `json:"os.version,omitempty"`
	Digest       string `json:"digest,omitempty"`
}

// ArtifactQuery asks for a page of artifacts, newest push first. Empty fields do not filter.
type ArtifactQuery struct {
	Tagged       *bool
	ArtifactType string
	Label        string
	After        ArtifactCursor // of the last one of the page before
	N            int            // at most so many; 0: 50
}

// ArtifactCursor is the place of an artifact in a list.
type ArtifactCursor struct {
	PushedAt int64 // microseconds
	Digest   string
}

// Cursor is where a list goes on after this artifact.
func (a *Artifact) Cursor() ArtifactCursor {
	return ArtifactCursor{PushedAt: a.PushedAt.UnixMicro(), Digest: a.Digest}
}

const (
	// What somebody pushed may have megabytes in every one of these columns. One artifact is shown whole; in a list, where
	// there are many and everybody may ask, annotations are left out and the others bounded.
	wholeTexts = `m.artifact_type, m.config_type, m.platforms, m.annotations`
	shortTexts = `SUBSTR(m.artifact_type, 1, 255), SUBSTR(m.config_type, 1, 255),
	CASE WHEN OCTET_LENGTH(m.platforms) <= 16384 THEN m.platforms ELSE '' END, ''`

	artifactColumns = `, l.repository_id, l.digest, m.media_type, m.size + m.layers_size, COALESCE(m.subject, ''), m.config_digest,
	l.pushed_at, l.pushed_by,
	COALESCE((SELECT t.pulls FROM pull_total t WHERE t.repository_id = l.repository_id AND t.digest = l.digest), 0)
	FROM manifest_link l JOIN manifest m ON m.digest = l.digest
	WHERE l.repository_id = (SELECT id FROM repository WHERE project_id = ? AND name = ?)`
)

// artifactRow is an artifact as its row has it, without tags and labels.
type artifactRow struct {
	Artifact
	repositoryID string
}

func scanArtifact(row func(...any) error) (*artifactRow, error) {
	var a artifactRow
	var platforms, annotations string
	var pushed int64
	if err := row(&a.ArtifactType, &a.ConfigType, &platforms, &annotations, &a.repositoryID, &a.Digest, &a.MediaType, &a.Size, &a.Subject,
		&a.ConfigDigest, &pushed, &a.PushedBy, &a.Pulls); err != nil {
		return nil, err
	}
	a.PushedAt = db.Time(pushed)
	// Both were written by us; what cannot be read is left out rather than hiding the artifact.
	if platforms != "" {
		_ = json.Unmarshal([]byte(platforms), &a.Platforms)
	}
	if annotations != "" {
		_ = json.Unmarshal([]byte(annotations), &a.Annotations)
	}
	return &a, nil
}

func noArtifact(p *core.Project, repository, reference string) *core.Error {
	sep := ":"
	if strings.Contains(reference, ":") {
		sep = "@"
	}
	return core.Errorf(core.CodeNotFound, "there is no artifact %s%s%s", whole(p, repository), sep, reference)
}

// Artifacts lists the artifacts of a repository; more says that there are further ones. CodeNotFound if there is no such
// repository.
func (s *Store) Artifacts(ctx context.Context, p *core.Project, repository string, q ArtifactQuery) (artifacts []*Artifact, more bool, err error) {
	if err := s.repositoryExists(ctx, p, repository); err != nil {
		return nil, false, err
	}
	var st statement
	st.add(`SELECT `+shortTexts+artifactColumns, p.ID, whole(p, repository))
	st.when(q.After.Digest != "", ` AND (l.pushed_at, l.digest) < (?, ?)`, q.After.PushedAt, q.After.Digest)
	if q.Tagged != nil {
		st.when(!*q.Tagged, ` AND NOT`)
		st.when(*q.Tagged, ` AND`)
		st.add(` EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = l.repository_id AND t.digest = l.digest)`)
	}
	st.when(q.ArtifactType != "", ` AND m.artifact_type = ?`, q.ArtifactType)
	st.when(q.Label != "", ` AND EXISTS (SELECT 1 FROM artifact_label al JOIN label b ON b.id = al.label_id
		WHERE al.repository_id = l.repository_id AND al.digest = l.digest AND b.project_id = ? AND b.name = ?)`, p.ID, q.Label)
	st.add(` ORDER BY l.pushed_at DESC, l.digest DESC`)
	found, more, err := page(s.reads(ctx), &st, q.N, scanArtifact)
	if err != nil {
		return nil, false, err
	}
	return complete(s.reads(ctx), found, more)
}

// Artifact returns one artifact of a repository by tag or digest. CodeNotFound if there is none.
func (s *Store) Artifact(ctx context.Context, p *core.Project, repository, reference string) (*Artifact, error) {
	var st statement
	st.add(`SELECT `+wholeTexts+artifactColumns, p.ID, whole(p, repository))
	if strings.Contains(reference, ":") {
		st.add(` AND l.digest = ?`, reference)
	} else {
		st.add(` AND l.digest = (SELECT t.digest FROM tag t WHERE t.repository_id = l.repository_id AND t.name = ?)`, reference)
	}
	found, err := rows(s.reads(ctx), st.text.String(), st.args, scanArtifact)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noArtifact(p, repository, reference)
	}
	all, _, err := complete(s.reads(ctx), found, false)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// complete adds tags, labels, sources of bills of materials and what scanners found to the artifacts of a page, all of one repository, by
// one statement each.
func complete(q querier, page []*artifactRow, more bool) ([]*Artifact, bool, error) {
	if len(page) == 0 {
		return nil, false, nil
	}
	out := make([]*Artifact, len(page))
	byDigest := make(map[string]*Artifact, len(page))
	digests := make([]string, len(page))
	for i, a := range page {
		out[i], byDigest[a.Digest], digests[i] = &a.Artifact, &a.Artifact, a.Digest
	}
	type pair struct{ digest, name string }
	scan := func(row func(...any) error) (p pair, err error) { return p, row(&p.digest, &p.name) }

	var tags statement
	tags.add(`SELECT digest, name FROM tag WHERE repository_id = ? AND digest IN `, page[0].repositoryID)
	tags.in(digests)
	tags.add(` ORDER BY name`)
	tagged, err := rows(q, tags.text.String(), tags.args, scan)
	if err != nil {
		return nil, false, err
	}
	for _, t := range tagged {
		byDigest[t.digest].Tags = append(byDigest[t.digest].Tags, t.name)
	}

	var labels statement
	labels.add(`SELECT al.digest, b.name FROM artifact_label al JOIN label b ON b.id = al.label_id WHERE al.repository_id = ? AND al.digest IN `, page[0].repositoryID)
	labels.in(digests)
	labels.add(` ORDER BY b.name`)
	marked, err := rows(q, labels.text.String(), labels.args, scan)
	if err != nil {
		return nil, false, err
	}
	for _, l := range marked {
		byDigest[l.digest].Labels = append(byDigest[l.digest].Labels, l.name)
	}
	sources, err := sbomSources(q, page[0].repositoryID, digests)
	if err != nil {
		return nil, false, err
	}
	scans, err := scanSummaries(q, page[0].repositoryID, digests)
	for digest, a := range byDigest {
		a.SBOMs, a.Scan = sources[digest], scans[digest]
	}
	return out, more, err
}

func (s *Store) repositoryExists(ctx context.Context, p *core.Project, name string) error {
	_, found, err := row(s.reads(ctx), `SELECT id FROM repository WHERE project_id = $1 AND name = $2 AND pushed_at > 0`,
		[]any{p.ID, whole(p, name)}, scanText)
	if err == nil && !found {
		err = noRepository(p, name)
	}
	return err
}
