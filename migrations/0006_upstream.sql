-- Projects in front of registries that are there already.
-- oldest_binary: 6

-- An existing registry, and what the hub logs in to it with.
CREATE TABLE registry (
    name       TEXT PRIMARY KEY,
    id         TEXT NOT NULL, -- of this row, so that one of the same name made later is another
    url        TEXT NOT NULL,
    plain_http BOOLEAN NOT NULL DEFAULT FALSE,
    ca_pem     TEXT NOT NULL DEFAULT '', -- '' = the authorities of the system
    token_host TEXT NOT NULL DEFAULT '', -- where its tokens are to be had, if not at its own host
    username   TEXT NOT NULL DEFAULT '', -- '' = anonymously
    password   BYTEA, -- sealed
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision   BIGINT NOT NULL DEFAULT 1
);

-- NULL: what is pushed to it lies in the hub. An older binary would look for all of it there, and take pushes.
ALTER TABLE project ADD COLUMN registry TEXT REFERENCES registry (name);
CREATE INDEX project_registry ON project (registry) WHERE registry IS NOT NULL;

-- What a manifest of such a project refers to, noted when it was read: of what lists or uses a digest no registry can be asked.
CREATE TABLE upstream_reference (
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    repository TEXT NOT NULL, -- whole name
    kind       TEXT NOT NULL, -- blob, or manifest
    target     TEXT NOT NULL, -- digest
    manifest   TEXT NOT NULL, -- digest of what refers to it
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (repository, kind, target, manifest)
);
CREATE INDEX upstream_reference_project ON upstream_reference (project_id);
CREATE INDEX upstream_reference_seen ON upstream_reference (seen_at);
