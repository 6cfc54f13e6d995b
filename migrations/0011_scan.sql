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
    asked_at     BIGINT NOT NULL DEFAULT 0, -- when somebody last went to ask it how it is
    checked_at   BIGINT NOT NULL DEFAULT 0, -- when it last answered, or did not
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
ALTER TABLE project ADD COLUMN scan_schedule TEXT NOT NULL DEFAULT ''; -- cron line; '' = never
ALTER TABLE project ADD COLUMN scan_next_at BIGINT NOT NULL DEFAULT 0; -- 0 = not reckoned yet
ALTER TABLE project ADD COLUMN sbom_on_push BOOLEAN NOT NULL DEFAULT TRUE; -- scans make bills of materials, too
CREATE INDEX project_scan_next ON project (scan_next_at) WHERE scan_schedule <> '';

-- What scanners say of a vulnerability, the latest.
CREATE TABLE vulnerability (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE, -- CVE-2024-1, GHSA-..
    severity   TEXT NOT NULL,
    title      TEXT NOT NULL,
    detail     TEXT NOT NULL, -- JSON
    updated_at BIGINT NOT NULL
);

-- Lists of other names and titles (CNNVD, CNVD, GHSA, titles in Chinese), imported as a whole: the rows of an import count from
-- the moment on in which its source names it.
CREATE TABLE alias_source (
    name        TEXT PRIMARY KEY, -- cnnvd, cnvd, ghsa ..
    import_id   TEXT NOT NULL UNIQUE,
    aliases     BIGINT NOT NULL,
    imported_at BIGINT NOT NULL,
    imported_by TEXT NOT NULL
);
CREATE TABLE vulnerability_alias (
    name      TEXT NOT NULL, -- as in vulnerability, which need not have it yet
    alias     TEXT NOT NULL,
    import_id TEXT NOT NULL,
    title     TEXT NOT NULL,
    PRIMARY KEY (name, alias, import_id)
);
CREATE INDEX vulnerability_alias_import ON vulnerability_alias (import_id, alias, name);
CREATE INDEX vulnerability_alias_alias ON vulnerability_alias (alias, name);

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
    matched    BOOLEAN NOT NULL, -- vulnerabilities were looked for
    incomplete TEXT NOT NULL, -- why findings cannot be all there are
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL -- when somebody was last about to name it
);
CREATE TABLE finding (
    vulnerability_id INTEGER NOT NULL,
    report_id        INTEGER NOT NULL REFERENCES scan_report (id) ON DELETE CASCADE,
    PRIMARY KEY (vulnerability_id, report_id)
);
CREATE INDEX finding_report ON finding (report_id);

-- In which repositories a vulnerability was found. The order of the key is that of a search: rights first, so that how long
-- it takes says nothing about what somebody may not see. A row may outlast the last finding by a day, and never comes late.
CREATE TABLE vulnerability_place (
    vulnerability_id INTEGER NOT NULL,
    project_id       TEXT NOT NULL,
    repository_id    TEXT NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    PRIMARY KEY (vulnerability_id, project_id, repository_id)
);
CREATE INDEX vulnerability_place_repository ON vulnerability_place (repository_id, vulnerability_id);

-- What a scanner found last in an image of a repository. It goes with the image.
CREATE TABLE scan (
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    scanner       TEXT NOT NULL,
    report_id     INTEGER REFERENCES scan_report (id), -- NULL = it was never scanned to the end
    scanned_at    BIGINT NOT NULL DEFAULT 0, -- when the report was made, or confirmed with newer data
    database_at   BIGINT NOT NULL DEFAULT 0,
    -- Of the newest data that were considered for this image: it was matched with them, was scanned with them, or is owed a scan.
    considered_at BIGINT NOT NULL DEFAULT 0,
    tried_at      BIGINT NOT NULL,
    problem       TEXT NOT NULL DEFAULT '', -- why the last try came to no report
    PRIMARY KEY (repository_id, digest, scanner),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX scan_of_report ON scan (report_id, repository_id, digest);
CREATE INDEX scan_considered ON scan (scanner, considered_at, repository_id, digest);

-- Images that are to be scanned: as soon as there is a scanner that answers.
CREATE TABLE scan_owed (
    repository_id TEXT NOT NULL,
    digest        TEXT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT NOT NULL,
    job           TEXT NOT NULL DEFAULT '', -- that scans it now; '' = none yet
    batch         TEXT NOT NULL DEFAULT '', -- job that asked for it; '' = a push
    PRIMARY KEY (repository_id, digest),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
-- Whose turn it is, however many images wait.
CREATE INDEX scan_owed_next ON scan_owed ((batch <> ''), due_at, repository_id, digest) WHERE job = '';
CREATE INDEX scan_owed_batch ON scan_owed (batch, repository_id, digest) WHERE batch <> '';
CREATE INDEX scan_owed_job ON scan_owed (job) WHERE job <> '';

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

-- Bills of materials by a scanner that the hub has attached to an image, one of each format. It goes with the manifest that carries it.
CREATE TABLE attached_sbom (
    repository_id TEXT NOT NULL,
    subject       TEXT NOT NULL, -- digest
    format        TEXT NOT NULL, -- spdx or cyclonedx
    carrier       TEXT NOT NULL, -- digest of the manifest
    basis         TEXT NOT NULL, -- of what it lists, and of who signed it
    gone          BOOLEAN NOT NULL DEFAULT FALSE, -- the subject was deleted: the carrier is to go, too
    PRIMARY KEY (repository_id, subject, format),
    FOREIGN KEY (repository_id, carrier) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX attached_sbom_carrier ON attached_sbom (repository_id, carrier);
CREATE INDEX attached_sbom_gone ON attached_sbom (repository_id) WHERE gone;
