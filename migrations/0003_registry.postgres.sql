-- Names are paged: in byte order on both engines.
ALTER TABLE repository ALTER COLUMN name TYPE TEXT COLLATE "C";
ALTER TABLE tag ALTER COLUMN name TYPE TEXT COLLATE "C";
