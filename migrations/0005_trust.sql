-- The trust gate: who is trusted, what is demanded, and what was verified.
-- oldest_binary: 1

-- Who is trusted and what is demanded: authorities (keys and identities), trust roots, pull policies. scope is '' for the
-- hub, whose documents hold in every project, else a project's id.
CREATE TABLE trust_document (
    scope      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL, -- JSON; a policy as it was written
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision   BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (scope, kind, name)
);

-- How often the documents of a scope have changed. What could not be verified at a lower number is tried again.
CREATE TABLE trust_revision (
    scope    TEXT PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- What a manifest of a repository says about a digest, and what of it was verified. It goes with that manifest.
CREATE TABLE evidence (
    repository_id TEXT NOT NULL,
    carrier       TEXT NOT NULL, -- digest of the manifest
    item          BIGINT NOT NULL, -- its how-manieth statement
    subject       TEXT NOT NULL, -- digest that the signed bytes speak of; '' if they could not be read
    signer        TEXT NOT NULL, -- key fingerprint, or issuer and subject of an identity; '' = nobody known
    facts         TEXT NOT NULL, -- JSON
    trust         BIGINT NOT NULL, -- revision of the trust material it was checked with
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, carrier, item),
    FOREIGN KEY (repository_id, carrier) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX evidence_subject ON evidence (repository_id, subject, signer, created_at);

-- Manifests that may carry evidence and were not read yet.
CREATE TABLE evidence_owed (
    repository_id TEXT NOT NULL,
    carrier       TEXT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT NOT NULL,
    PRIMARY KEY (repository_id, carrier),
    FOREIGN KEY (repository_id, carrier) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX evidence_owed_due ON evidence_owed (due_at);
