package main

import (
	"net/url"
	"path/filepath"
	"strings"
)

// settings is every setting there is.
func settings() []setting {
	return []setting{
		{key: "data", value: "./data", help: "Directory of everything that stays: database, blobs, keys, local socket.", check: isDirectory},
		{key: "listen", value: "127.0.0.1:8080", help: "Address that clients reach.", check: isAddress("HALLMARK_LISTEN")},
		{key: "internal_listen", value: "127.0.0.1:8081", help: "Address of health checks and profiles, for operators only.", check: isAddress("HALLMARK_INTERNAL_LISTEN")},
		{key: "public_url", value: "", help: "Address of the hub as clients see it, e.g. https://hub.example; empty: taken from the request.", check: hasScheme("http", "https")},
		{key: "db", value: "", help: "Database: sqlite:///path or postgres://..; empty: sqlite in the data directory.", secret: true, check: hasScheme("sqlite", "postgres", "postgresql")},
		{key: "blobs", value: "", help: "Where bytes lie: file:///path or s3://bucket/prefix?region=..&endpoint=..; empty: the data directory.", check: hasScheme("file", "s3", "gs", "azure", "distfs")},
		{key: "queue", value: "memory:", help: "Job queue: memory:, redis://:password@host:6379/0 or rediss://.. (several nodes: see operate.md).", secret: true, check: hasScheme("memory", "redis", "rediss")},
		{key: "master_key", value: "", help: "32 bytes in base64 that seal all other keys; empty: master.key in the data directory, made at first start. Required with postgres.", secret: true, check: isMasterKey},
		{key: "tls_cert", value: "", help: "Certificate file (PEM); with tls_key the hub speaks HTTPS. Read again when it changes."},
		{key: "tls_key", value: "", help: "Key file (PEM) of tls_cert."},
		{key: "trusted_proxies", value: "", help: "Networks (CIDR, comma-separated) from which X-Forwarded-* is believed."},
		{key: "admin_password", value: "", help: "Password of admin, at the first start only; empty: a random one, in admin-secret in the data directory.", secret: true},
		{key: "baseline_floor", value: "off", help: "What no project's baseline is below: enforce, warn or off.", check: oneOf("enforce", "warn", "off")},
		{key: "baseline", value: "enforce", help: "Baseline of new projects that name none: enforce, warn or off.", check: oneOf("enforce", "warn", "off")},
		{key: "webhook_allow", value: "", help: "Networks (CIDR, comma-separated) that webhooks may reach though they are not public, and by http:// without TLS."},
		{key: "smtp", value: "", help: "Mail server for webhooks by mail: smtp://user:password@host:587 or smtps://..; empty: none.", secret: true},
		{key: "smtp_from", value: "", help: "Address that mail is from."},
		{key: "gc_grace", value: "24h", help: "How long what was pushed stays without being referred to.", check: isDuration},
		{key: "roles", value: "core,jobservice", help: "What this process does: core, jobservice or both; with SQLite or queue memory: it has to be both.", check: areRoles},
		{key: "scanner", value: "", help: "The scanner: exec: (bin/scanner-adapter beside this program, which the hub runs itself), exec:/path, http(s)://host (runs elsewhere) or off; empty: exec: with SQLite, else off.", check: isScanner},
		{key: "scanner_token", value: "", help: "What a scanner elsewhere is presented as bearer token.", secret: true},
		{key: "scanner_registry", value: "", help: "Address at which a scanner elsewhere fetches images of this hub; empty: public_url.", check: hasScheme("http", "https")},
		{key: "scanner_database", value: "", help: "Where the scanner that the hub runs has its vulnerability database from: oci://host/trivy-db:2, dir:///path, file:///path/db.tar.gz; empty: system/trivy-db:2 and system/trivy-java-db:1 of the hub itself.", check: hasScheme("oci", "dir", "file")},
		{key: "scanner_java_database", value: "", help: "Where it has the index of Java archives from, with scanner_database.", check: hasScheme("oci", "dir", "file")},
		{key: "scan_schedule", value: "", help: "When all images are scanned again, as cron has it, at most once an hour: 30 3 * * 0, @weekly; empty: never.", check: isScanSchedule},
		{key: "log_level", value: "info", help: "debug, info, warn or error.", check: oneOf("debug", "info", "warn", "error")},
		{key: "log_format", value: "text", help: "text or json.", check: oneOf("text", "json")},
		{key: "access_log", value: "writes", help: "Requests that are logged: all, writes (everything but successful reads of /v2) or none.", check: oneOf("all", "writes", "none")},

		{key: "limits.manifest_bytes", value: "4MiB", help: "Largest manifest.", check: isBytes},
		{key: "limits.blob_bytes", value: "20GiB", help: "Largest blob.", check: isBytes},
		{key: "limits.uploads_per_principal", value: "64", help: "Unfinished uploads of one principal.", check: isCount},
		{key: "limits.uploads_per_repository", value: "1000", help: "Unfinished uploads in one repository.", check: isCount},
		{key: "limits.upload_idle", value: "24h", help: "An upload that nothing is added to ends after this: 2h or more.", check: isUploadIdle},
		{key: "limits.upload_age", value: "168h", help: "An upload ends after this in any case.", check: isDuration},
		{key: "limits.page_default", value: "100", help: "Entries of a list under /v2 when n is not given.", check: isCount},
		{key: "limits.page_max", value: "1000", help: "Most entries of a list under /v2.", check: isCount},
		{key: "limits.header_bytes", value: "32KiB", help: "Bytes of all request headers.", check: isBytes},
		{key: "limits.connections", value: "8192", help: "Connections at once.", check: isCount},
		{key: "limits.connections_per_ip", value: "1024", help: "Connections at once from one address; loopback and trusted proxies are not counted.", check: isCount},
		{key: "limits.min_rate_bytes", value: "4KiB", help: "Bytes a second that a client has to move on average over a minute.", check: isBytes},
		{key: "limits.token_life", value: "5m", help: "Life of a registry token, 1m to 1h. The same for every process.", check: isTokenLife},
		{key: "limits.manifest_cache", value: "32MiB", help: "Memory for manifests.", check: isBytes},
		{key: "limits.blob_cache", value: "16MiB", help: "Memory for blobs of up to 64 KiB.", check: isBytes},
		{key: "limits.scans_per_scanner", value: "4", help: "Scans that one scanner is asked for at once.", check: isCount},
		{key: "limits.scan_time", value: "30m", help: "A scan that takes longer has failed.", check: isDuration},
		{key: "limits.scan_report_bytes", value: "64MiB", help: "Largest answer of a scanner.", check: isBytes},
		{key: "limits.scan_findings", value: "100000", help: "Most findings of one report.", check: isCount},
		{key: "limits.rescans_per_hour", value: "600", help: "Images an hour that are scanned again because new vulnerability data cannot be matched with their bill of materials.", check: isCount},
		{key: "limits.audit_retention", value: "8760h", help: "Audit rows older than this are removed.", check: isDuration},
	}
}

// database is the address of the database.
func (c *Config) database() string {
	if v := c.String("db"); v != "" {
		return v
	}
	return pathURL("sqlite", filepath.Join(c.dataDir(), "hallmark.db"))
}

// postgres reports whether the database is Postgres.
func (c *Config) postgres() bool { return strings.HasPrefix(c.String("db"), "postgres") }

// memoryQueue reports whether the job queue is this process's own.
func (c *Config) memoryQueue() bool { return c.String("queue") == "memory:" || c.String("queue") == "" }

// blobStore is the address of the blob store.
func (c *Config) blobStore() string {
	if v := c.String("blobs"); v != "" {
		return v
	}
	return pathURL("file", filepath.Join(c.dataDir(), "blobs"))
}

// pathURL is the address of a path, whatever characters are in that.
func pathURL(scheme, path string) string {
	return (&url.URL{Scheme: scheme, Path: filepath.ToSlash(path)}).String()
}

// dataDir is the data directory as an absolute path.
func (c *Config) dataDir() string {
	d, err := filepath.Abs(c.String("data"))
	must("data", err)
	return d
}
