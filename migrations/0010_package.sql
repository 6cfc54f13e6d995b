-- Bills of materials: which packages are in what.
-- oldest_binary: 1

-- Names, versions, and what else documents say of a package, each once. Ids are small numbers: there are very many rows of
-- package_use.
CREATE TABLE package (
    id        INTEGER PRIMARY KEY,
    type      TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    UNIQUE (name, namespace, type)
);
CREATE TABLE package_version (
    id         INTEGER PRIMARY KEY,
    package_id INTEGER NOT NULL REFERENCES package (id),
    version    TEXT NOT NULL,
    UNIQUE (package_id, version)
);
CREATE TABLE package_note (
    id       INTEGER PRIMARY KEY,
    rest     TEXT NOT NULL, -- qualifiers and subpath of the package URL
    licences TEXT NOT NULL,
    UNIQUE (licences, rest)
);

-- A document by its own bytes (the predicate of an attestation): however often it was pushed, signed and copied, it is read once.
CREATE TABLE sbom_document (
    id         INTEGER PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,
    format     TEXT NOT NULL, -- spdx or cyclonedx; '' = it cannot be read
    version    TEXT NOT NULL, -- of the format
    packages   BIGINT NOT NULL, -- so many
    unnamed    BIGINT NOT NULL, -- without a usable package URL
    list       BYTEA NOT NULL, -- pairs of package_version.id and package_note.id as varints, in order of the package URLs
    problem    TEXT NOT NULL, -- why it cannot be read
    created_at BIGINT NOT NULL
);

-- Where documents of one kind of source count: rights are those of the project. Its rows are never removed.
CREATE TABLE package_scope (
    id         INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    source     TEXT NOT NULL, -- attestation, unsigned or scanner
    UNIQUE (project_id, source)
);

-- What a manifest of a repository (the carrier) says is in a digest. It goes with that manifest.
CREATE TABLE sbom (
    repository_id TEXT NOT NULL,
    carrier       TEXT NOT NULL,
    item          BIGINT NOT NULL, -- as in evidence; of a document that nobody signed, its layer
    subject       TEXT NOT NULL,
    scope         INTEGER NOT NULL REFERENCES package_scope (id),
    document_id   INTEGER NOT NULL REFERENCES sbom_document (id),
    content       TEXT NOT NULL, -- digest of the blob that the document lies in
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, carrier, item),
    FOREIGN KEY (repository_id, carrier) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX sbom_subject ON sbom (repository_id, subject);
CREATE INDEX sbom_document_scope ON sbom (document_id, scope, repository_id, subject, carrier, item);
CREATE INDEX sbom_content ON sbom (content);

-- Documents whose packages are in package_use. It lasts a while longer than the last row of sbom.
CREATE TABLE package_listed (
    scope       INTEGER NOT NULL,
    document_id INTEGER NOT NULL,
    complete    BOOLEAN NOT NULL, -- all are in; else somebody puts them in or takes them out, since
    touched_at  BIGINT NOT NULL,
    PRIMARY KEY (document_id, scope)
);

-- Manifests that may carry a document and were not looked at yet.
CREATE TABLE sbom_owed (
    repository_id TEXT NOT NULL,
    carrier       TEXT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT NOT NULL,
    PRIMARY KEY (repository_id, carrier),
    FOREIGN KEY (repository_id, carrier) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX sbom_owed_due ON sbom_owed (due_at);

-- What was attested before this was looked at.
INSERT INTO sbom_owed (repository_id, carrier, due_at)
SELECT DISTINCT repository_id, carrier, 0 FROM evidence
WHERE REPLACE(facts, 'https://spdx.dev/Document', '') <> facts OR REPLACE(facts, 'https://cyclonedx.org/bom', '') <> facts;
