-- Scanners, and what they found.
-- oldest_binary: 1

-- An adapter that speaks Harbor's pluggable-scanner API.
CREATE TABLE scanner (
    name         TEXT PRIMARY KEY,
    id           TEXT NOT NULL, -- of this row, so that one of the same name made later is another
    url          TEXT NOT NULL,
    ca_pem       TEXT NOT NULL DEFAULT '', -- '' = the authorities of the system
    username     TEXT NOT NULL DEFAULT '', -- '' = the secret is a bearer token
    secret       BYTEA, -- sealed; NULL = none
    registry_url TEXT NOT NULL DEFAULT '', -- where it fetches images of this hub; '' = the hub's own address
    is_default   BOOLEAN NOT NULL DEFAULT FALSE,
    paused       BOOLEAN NOT NULL DEFAULT FALSE,
    checked_at   BIGINT NOT NULL DEFAULT 0,
    problem      TEXT NOT NULL DEFAULT '', -- why it did not answer last
    metadata     TEXT NOT NULL DEFAULT '', -- JSON, as it last answered
    database_at  BIGINT NOT NULL DEFAULT 0, -- how new its vulnerability data are; 0 = it does not say
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    revision     BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX scanner_default ON scanner (is_default) WHERE is_default;

ALTER TABLE project ADD COLUMN scanner TEXT REFERENCES scanner (name); -- NULL = the default one
ALTER TABLE project ADD COLUMN scan_on_push BOOLEAN NOT NULL DEFAULT TRUE;

-- What scanners say of a vulnerability, the latest.
CREATE TABLE vulnerability (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE, -- CVE-2024-1, GHSA-..
    severity   TEXT NOT NULL,
    title      TEXT NOT NULL,
    detail     TEXT NOT NULL, -- JSON
    updated_at BIGINT NOT NULL
);

-- Other names and titles that somebody imported: CNNVD, CNVD, GHSA, titles in Chinese.
CREATE TABLE vulnerability_alias (
    name   TEXT NOT NULL, -- as in vulnerability, which need not have it yet
    alias  TEXT NOT NULL,
    source TEXT NOT NULL,
    title  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, alias)
);
CREATE INDEX vulnerability_alias_alias ON vulnerability_alias (alias);

-- What was found, by its own bytes: images with the same findings have one.
CREATE TABLE scan_report (
    id         INTEGER PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,
    facts      TEXT NOT NULL, -- JSON
    critical   BIGINT NOT NULL,
    high       BIGINT NOT NULL,
    medium     BIGINT NOT NULL,
    low        BIGINT NOT NULL,
    other      BIGINT NOT NULL, -- negligible and unknown
    fixable    BIGINT NOT NULL, -- of all of these
    checks     BIGINT NOT NULL, -- secrets, licences and others
    created_at BIGINT NOT NULL
);
CREATE TABLE finding (
    vulnerability_id INTEGER NOT NULL,
    report_id        INTEGER NOT NULL REFERENCES scan_report (id) ON DELETE CASCADE,
    PRIMARY KEY (vulnerability_id, report_id)
);
CREATE INDEX finding_report ON finding (report_id);

-- What a scanner found last in an image of a repository. It goes with the image.
CREATE TABLE scan (
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    scanner       TEXT NOT NULL,
    report_id     INTEGER REFERENCES scan_report (id), -- NULL = it was never scanned to the end
    scanned_at    BIGINT NOT NULL DEFAULT 0, -- when the report was made, or confirmed with newer data
    database_at   BIGINT NOT NULL DEFAULT 0,
    tried_at      BIGINT NOT NULL,
    problem       TEXT NOT NULL DEFAULT '', -- why the last try came to no report
    PRIMARY KEY (repository_id, digest, scanner),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX scan_of_report ON scan (report_id, repository_id, digest);
CREATE INDEX scan_by_data ON scan (scanner, database_at, repository_id, digest);

-- Images that are to be scanned: as soon as there is a scanner that answers.
CREATE TABLE scan_owed (
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX scan_owed_due ON scan_owed (due_at);

-- A vulnerability that somebody answers for, until a day.
CREATE TABLE vulnerability_exception (
    id            TEXT PRIMARY KEY,
    project_id    TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    vulnerability TEXT NOT NULL,
    purl          TEXT NOT NULL DEFAULT '', -- '' = in every package; without a version: in every version
    repository    TEXT NOT NULL DEFAULT '', -- whole name; '' = in the whole project
    reason        TEXT NOT NULL,
    expires_at    BIGINT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX vulnerability_exception_project ON vulnerability_exception (project_id, vulnerability);
