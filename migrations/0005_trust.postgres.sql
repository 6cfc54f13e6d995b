-- Names are paged: in byte order on both engines.
ALTER TABLE trust_document ALTER COLUMN name TYPE TEXT COLLATE "C";
