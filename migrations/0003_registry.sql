-- Repositories, manifests, tags, and which bytes lie where.
-- oldest_binary: 1

CREATE TABLE repository (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL REFERENCES project (id),
    name        TEXT NOT NULL UNIQUE, -- whole: project/path
    summary     TEXT NOT NULL DEFAULT '',
    readme      TEXT NOT NULL DEFAULT '',
    pushed_at   BIGINT NOT NULL DEFAULT 0, -- first manifest; 0: nothing but uploads so far, not listed
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX repository_project ON repository (project_id, name);
-- What the catalog lists, with all it asks for: a page of it reads no row of the table.
CREATE INDEX repository_listed ON repository (name, project_id) WHERE pushed_at > 0;

-- Bytes: digest to key. A key is never used twice.
CREATE TABLE blob (
    digest       TEXT PRIMARY KEY,
    key          TEXT NOT NULL UNIQUE,
    size         BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    leased_until BIGINT NOT NULL
);

-- Only keys in here are ever removed from the store, and not before delete_after.
CREATE TABLE garbage_key (
    key          TEXT PRIMARY KEY,
    delete_after BIGINT NOT NULL
);
CREATE INDEX garbage_key_due ON garbage_key (delete_after);

-- A blob that a repository has. The row is the right to read it there.
CREATE TABLE blob_link (
    repository_id TEXT NOT NULL REFERENCES repository (id),
    digest        TEXT NOT NULL REFERENCES blob (digest),
    leased_until  BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX blob_link_digest ON blob_link (digest);

-- A manifest's bytes and what is read from them. Its media type follows from its bytes, so one row serves every repository.
CREATE TABLE manifest (
    digest        TEXT PRIMARY KEY,
    media_type    TEXT NOT NULL,
    size          BIGINT NOT NULL,
    payload       BYTEA NOT NULL,
    subject       TEXT, -- digest
    artifact_type TEXT NOT NULL DEFAULT '',
    annotations   TEXT NOT NULL DEFAULT '', -- JSON
    config_digest TEXT NOT NULL DEFAULT '',
    config_type   TEXT NOT NULL DEFAULT '',
    platforms     TEXT NOT NULL DEFAULT '', -- JSON: of an index's children
    layers_size   BIGINT NOT NULL DEFAULT 0, -- bytes of config and layers, as the manifest says
    created_at    BIGINT NOT NULL
);

-- A manifest that a repository has.
CREATE TABLE manifest_link (
    repository_id TEXT NOT NULL REFERENCES repository (id),
    digest        TEXT NOT NULL REFERENCES manifest (digest),
    subject       TEXT, -- as in manifest: referrers are looked up by repository and subject
    leased_until  BIGINT NOT NULL,
    pushed_at     BIGINT NOT NULL,
    pushed_by     TEXT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX manifest_link_digest ON manifest_link (digest);
CREATE INDEX manifest_link_subject ON manifest_link (repository_id, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifest_link_pushed ON manifest_link (repository_id, pushed_at);

-- What a manifest refers to.
CREATE TABLE manifest_reference (
    manifest TEXT NOT NULL REFERENCES manifest (digest) ON DELETE CASCADE,
    target   TEXT NOT NULL, -- digest
    kind     TEXT NOT NULL, -- blob or manifest
    PRIMARY KEY (manifest, target, kind)
);
CREATE INDEX manifest_reference_target ON manifest_reference (target);

CREATE TABLE tag (
    repository_id TEXT NOT NULL REFERENCES repository (id),
    name          TEXT NOT NULL,
    digest        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    updated_by    TEXT NOT NULL,
    PRIMARY KEY (repository_id, name),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest)
);
CREATE INDEX tag_digest ON tag (repository_id, digest);

CREATE TABLE upload (
    id            TEXT PRIMARY KEY,
    repository_id TEXT NOT NULL REFERENCES repository (id),
    principal     TEXT NOT NULL,
    algorithm     TEXT NOT NULL,
    size          BIGINT NOT NULL, -- where the store itself does not know it
    hash_state    BYTEA,
    writer        TEXT NOT NULL DEFAULT '', -- who is appending, and
    writer_until  BIGINT NOT NULL DEFAULT 0, -- until when nobody else may
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);
CREATE INDEX upload_principal ON upload (principal);
CREATE INDEX upload_repository ON upload (repository_id);
CREATE INDEX upload_updated ON upload (updated_at);

-- What a project holds, each digest once: its usage is the sum.
CREATE TABLE project_blob (
    project_id TEXT NOT NULL REFERENCES project (id),
    digest     TEXT NOT NULL,
    size       BIGINT NOT NULL,
    PRIMARY KEY (project_id, digest)
);

CREATE TABLE artifact_label (
    label_id      TEXT NOT NULL REFERENCES label (id) ON DELETE CASCADE,
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, label_id),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX artifact_label_label ON artifact_label (label_id);

-- Pulls of manifests by day (days since 1970-01-01, UTC), added up in memory and written in blocks.
CREATE TABLE pull (
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    tag           TEXT NOT NULL, -- '' = by digest
    principal     TEXT NOT NULL,
    day           BIGINT NOT NULL,
    pulls         BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, tag, principal, day)
);
CREATE INDEX pull_day ON pull (day);

-- The sum of all days, which stays when days are dropped.
CREATE TABLE pull_total (
    repository_id TEXT NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    pulls         BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
