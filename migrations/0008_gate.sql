-- Where the trust gate looks first, so that what it reads does not grow with what is pushed beside it.
-- oldest_binary: 8

-- What the manifests of a repository refer to, in the order in which they are worth asking whether they vouch for it. It
-- decides nothing: who is found here is decided on anew.
CREATE TABLE repository_reference (
    repository_id TEXT NOT NULL,
    manifest      TEXT NOT NULL,
    target        TEXT NOT NULL, -- digest
    kind          TEXT NOT NULL, -- blob or manifest
    -- When it was pushed. If somebody known has said something about the manifest, or about an index above it: when that
    -- was, and 2^62 more, so that whatever nobody vouches for comes after all of these.
    place         BIGINT NOT NULL,
    PRIMARY KEY (repository_id, manifest, target, kind),
    FOREIGN KEY (repository_id, manifest) REFERENCES manifest_link (repository_id, digest) ON DELETE CASCADE
);
INSERT INTO repository_reference (repository_id, manifest, target, kind, place)
    SELECT l.repository_id, m.manifest, m.target, m.kind, l.pushed_at FROM manifest_link l JOIN manifest_reference m ON m.manifest = l.digest;
CREATE INDEX repository_reference_target ON repository_reference (repository_id, target, kind, place, manifest);
UPDATE repository_reference SET place = place + 4611686018427387904 WHERE (repository_id, manifest) IN (
    WITH RECURSIVE vouched (repository_id, digest, depth) AS (
        SELECT repository_id, subject, 0 FROM evidence WHERE signer > ''
        UNION SELECT v.repository_id, m.target, v.depth + 1 FROM vouched v JOIN manifest_reference m ON m.manifest = v.digest AND m.kind = 'manifest'
            WHERE v.depth < 3
    ) SELECT repository_id, digest FROM vouched);

-- What is still to be read about a digest.
ALTER TABLE evidence_owed ADD COLUMN subject TEXT NOT NULL DEFAULT '';
UPDATE evidence_owed SET subject = COALESCE((SELECT l.subject FROM manifest_link l
    WHERE l.repository_id = evidence_owed.repository_id AND l.digest = evidence_owed.carrier), '');
CREATE INDEX evidence_owed_subject ON evidence_owed (repository_id, subject);

-- What nobody known has signed, in the order in which it is tried again when keys change. What cannot be read never is.
UPDATE evidence SET trust = 9223372036854775807 WHERE facts LIKE '%"Kind":"unreadable"%';
CREATE INDEX evidence_unverified ON evidence (repository_id, subject, trust, carrier) WHERE signer = '';
