package main

// row is one line of the table: a figure of a test, and what it has to be.
type row struct {
	name   string
	test   string
	figure string
	scale  float64 // from the figure to the unit in the name
	target float64 // at most; 0: there is none, the row is shown for comparison
	floor  string  // the test of the floors to compare with; empty: this one
}

// targets says what Hallmark has to reach. Their source, and the reasons for each that is missed, are in
// docs/performance.md.
var targets = []row{
	{name: "GET manifest by tag, us", test: "tag-get", figure: "cpu_us_op", scale: 1, target: 25},
	{name: "- one of 1,000 tags, us", test: "tag-get-of-1000", figure: "cpu_us_op", scale: 1, target: 25, floor: "tag-get"},
	{name: "- one of 10,000 tags, us", test: "tag-get-of-10000", figure: "cpu_us_op", scale: 1, target: 25, floor: "tag-get"},
	{name: "- with the access log on, us", test: "tag-get@log", figure: "cpu_us_op", scale: 1, floor: "tag-get"},
	{name: "GET manifest by digest, us", test: "digest-get", figure: "cpu_us_op", scale: 1, target: 25},
	{name: "HEAD manifest, us", test: "tag-head", figure: "cpu_us_op", scale: 1, target: 22},
	{name: "GET blob 1 KiB (from memory), us", test: "blob-1k", figure: "cpu_us_op", scale: 1, target: 25},
	{name: "GET blob 1 MiB, us", test: "blob-1m", figure: "cpu_us_op", scale: 1, target: 200},
	{name: "GET blob 256 MiB, s/GB", test: "blob-256m", figure: "cpu_s_gb", scale: 1, target: 0.33},
	{name: "- 8 at once, s/GB", test: "blob-256m-x8", figure: "cpu_s_gb", scale: 1, target: 0.33},
	{name: "GET signed manifest by tag, a guest, gate off, us", test: "tag-get@gate-off", figure: "cpu_us_op", scale: 1, floor: "tag-get"},
	{name: "- gate on, us", test: "tag-get@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "tag-get"},
	{name: "- gate on / off", test: "tag-get@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "- by digest, gate off, us", test: "digest-get@gate-off", figure: "cpu_us_op", scale: 1, floor: "digest-get"},
	{name: "- gate on, us", test: "digest-get@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "digest-get"},
	{name: "- gate on / off", test: "digest-get@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "- HEAD by tag, gate off, us", test: "tag-head@gate-off", figure: "cpu_us_op", scale: 1, floor: "tag-head"},
	{name: "- gate on, us", test: "tag-head@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "tag-head"},
	{name: "- gate on / off", test: "tag-head@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "- its blob of 1 KiB, gate off, us", test: "blob-1k@gate-off", figure: "cpu_us_op", scale: 1, floor: "blob-1k"},
	{name: "- gate on, us", test: "blob-1k@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "blob-1k"},
	{name: "- gate on / off", test: "blob-1k@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "beside many referrers, images on its layer and a bundle of 16 MiB: by tag, gate off, us", test: "tag-get-beside@gate-off", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on, us", test: "tag-get-beside@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on / off", test: "tag-get-beside@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "- its blob of 1 KiB, gate off, us", test: "blob-1k-beside@gate-off", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on, us", test: "blob-1k-beside@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on / off", test: "blob-1k-beside@gate-enforce", figure: "of_off", scale: 1, target: 1.05, floor: "-"},
	{name: "first GET of a signed image, one connection, gate off, us", test: "first@gate-off", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on, us", test: "first@gate-enforce", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- gate on / off", test: "first@gate-enforce", figure: "of_off", scale: 1, floor: "-"},
	{name: "GET decided anew after a push, one connection, us", test: "anew", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- beside all that, us", test: "anew-beside", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "1,000 key bundles read and verified, 8 keys, s", test: "verify-1000", figure: "cpu_s", scale: 1, target: 1, floor: "-"},
	{name: "- pushed and verified, all of it, s", test: "push-1000-bundle", figure: "cpu_s", scale: 1, floor: "-"},
	{name: "- the same bytes pushed as layers, s", test: "push-1000-plain", figure: "cpu_s", scale: 1, floor: "-"},
	{name: "- the difference: read, verified and noted, s", test: "note-1000", figure: "cpu_s", scale: 1, target: 1, floor: "-"},
	{name: "bundle of 16 MiB read and verified, CPU s", test: "large-bundle", figure: "cpu_s", scale: 1, floor: "-"},
	{name: "- until the push is answered, s", test: "large-bundle", figure: "secs", scale: 1, floor: "-"},
	{name: "- peak anonymous memory, MiB", test: "large-bundle", figure: "peak_anon_mib", scale: 1, floor: "-"},
	{name: "push of a small image, ms", test: "push-small", figure: "cpu_us_op", scale: 1e-3, target: 4},
	{name: "- on Postgres, which is counted, ms", test: "push-small@postgres", figure: "cpu_us_op", scale: 1e-3, target: 8},
	{name: "1 GiB in one PUT, user s/GB", test: "push-put", figure: "user_s_gb", scale: 1, target: 0.60, floor: "sha256"},
	{name: "- peak anonymous memory, MiB", test: "push-put", figure: "peak_anon_mib", scale: 1, target: 48, floor: "-"},
	{name: "1 GiB in one PATCH, user s/GB", test: "push-patch", figure: "user_s_gb", scale: 1, target: 0.60, floor: "sha256"},
	{name: "- peak anonymous memory, MiB", test: "push-patch", figure: "peak_anon_mib", scale: 1, target: 48, floor: "-"},
	{name: "1 GiB in 16 MiB chunks, user s/GB", test: "push-chunk", figure: "user_s_gb", scale: 1, target: 0.60, floor: "sha256"},
	{name: "- peak anonymous memory, MiB", test: "push-chunk", figure: "peak_anon_mib", scale: 1, target: 48, floor: "-"},
	{name: "PUT of a tag, up to 1,000, ms", test: "tag-put-to-1000", figure: "cpu_us_op", scale: 1e-3, target: 0.5},
	{name: "- up to 10,000, ms", test: "tag-put-to-10000", figure: "cpu_us_op", scale: 1e-3, target: 0.5},
	{name: "tags, 100 of 1,000, ms", test: "tags-1000-page100", figure: "cpu_us_op", scale: 1e-3, target: 0.1},
	{name: "- 100 of 10,000, ms", test: "tags-10000-page100", figure: "cpu_us_op", scale: 1e-3, target: 0.1},
	{name: "push into a new repository, ms", test: "repo-create", figure: "cpu_us_op", scale: 1e-3},
	{name: "catalog, 100 of 2,000, ms", test: "catalog-page100", figure: "cpu_us_op", scale: 1e-3, target: 0.1},
	{name: "- for a member of the project, ms", test: "catalog-page100-member", figure: "cpu_us_op", scale: 1e-3, target: 0.1},
	{name: "- for a user who may see none, ms", test: "catalog-page100-outsider", figure: "cpu_us_op", scale: 1e-3, target: 0.1},
	{name: "token, first login of a user, ms", test: "token-first", figure: "cpu_us_op", scale: 1e-3},
	{name: "- further ones, ms", test: "token-password", figure: "cpu_us_op", scale: 1e-3, target: 1},
	{name: "- anonymous, ms", test: "token-anonymous", figure: "cpu_us_op", scale: 1e-3, target: 0.2},
	{name: "first start, ready after ms", test: "startup@empty", figure: "ready_ms", scale: 1, target: 300, floor: "startup"},
	{name: "- idle anonymous memory, MiB", test: "startup@empty", figure: "idle_anon_mib", scale: 1, target: 30, floor: "startup"},
	{name: "- idle RSS, MiB", test: "startup@empty", figure: "idle_rss_mib", scale: 1, target: 110, floor: "startup"},
	{name: "an SBOM of 300 packages matched again, us", test: "sboms", figure: "wall_us_op", scale: 1, floor: "-"},
	{name: "- of the adapter's CPU", test: "sboms", figure: "cpu_us_op", scale: 1, target: 20_000, floor: "-"},
	{name: "an empty job through Redis on SQLite, us until it is done", test: "jobs@sqlite", figure: "wall_us_op", scale: 1, target: 1000, floor: "-"},
	{name: "- of the worker's CPU", test: "jobs@sqlite", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- a claim while 100,000 wait, the median in ms", test: "claim@sqlite", figure: "p50_ms", scale: 1, target: 5, floor: "-"},
	{name: "- the slowest hundredth, ms", test: "claim@sqlite", figure: "p99_ms", scale: 1, floor: "-"},
	{name: "an empty job through Redis on Postgres, us until it is done", test: "jobs@postgres", figure: "wall_us_op", scale: 1, target: 1000, floor: "-"},
	{name: "- of the worker's CPU", test: "jobs@postgres", figure: "cpu_us_op", scale: 1, floor: "-"},
	{name: "- a claim while 100,000 wait, the median in ms", test: "claim@postgres", figure: "p50_ms", scale: 1, target: 5, floor: "-"},
	{name: "- the slowest hundredth, ms", test: "claim@postgres", figure: "p99_ms", scale: 1, floor: "-"},
	{name: "start on the full store, ready after ms", test: "startup@full", figure: "ready_ms", scale: 1, target: 300, floor: "startup"},
	{name: "- idle anonymous memory, MiB", test: "startup@full", figure: "idle_anon_mib", scale: 1, target: 30, floor: "startup"},
	{name: "- idle RSS, MiB", test: "startup@full", figure: "idle_rss_mib", scale: 1, target: 110, floor: "startup"},
}

// The labels of the servers that the table compares.
const (
	labelHallmark     = "hallmark"
	labelDistribution = "distribution"
	labelFloor        = "floor"
	labelNginx        = "nginx"
)
