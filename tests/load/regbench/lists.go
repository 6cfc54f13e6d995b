package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// list loads a page of a list, by a few connections at a time.
func (b *bench) list(c *client, test, path, scope, key string) error {
	resp, err := c.expect(b.ctx, 200, "GET", path, scope, nil, nil, 0)
	if err != nil {
		return err
	}
	var v map[string]json.RawMessage
	var items []string
	if err := json.Unmarshal(resp.body, &v); err != nil {
		return err
	}
	if err := json.Unmarshal(v[key], &items); err != nil {
		return fmt.Errorf("%s: %w: %.200s", path, err, resp.body)
	}
	for run := 1; run <= *runs; run++ {
		headers, err := b.headers(c, scope)
		if err != nil {
			return err
		}
		m, err := b.pids.wrk(b.ctx, load{method: "GET", target: c.base + path, headers: headers, conns: *conc, dur: *dur / 2})
		if err != nil {
			return err
		}
		m["items"] = float64(len(items))
		emit(record{Test: test, Run: run, M: m})
	}
	return nil
}

// tags fills a repository with tags, in steps, and measures at each step what one PUT, a page and one GET cost.
func (b *bench) tags() error {
	repo := *prefix + "tags"
	cfg := configBytes("tags")
	if _, err := b.c.putBytes(b.ctx, repo, cfg, modePut); err != nil {
		return err
	}
	man := manifestBytes(desc{mtConfig, digestOf(cfg), int64(len(cfg))}, nil)
	from := 0
	for _, s := range strings.Split(*nTags, ",") {
		var n int
		if _, err := fmt.Sscan(s, &n); err != nil {
			return err
		}
		m := b.pids.begin()
		done, err := parallel(n-from, *conc, *limit, func(i int) error { return b.c.putManifest(b.ctx, repo, fmt.Sprintf("v%06d", from+i), man) })
		emit(record{Test: "tag-put-to-" + s, Run: 1, M: m.end(float64(done), 0)})
		if err != nil {
			return err
		}
		from += done
		if err := b.list(b.c, "tags-"+s+"-page100", "/v2/"+repo+"/tags/list?n=100&last=v000500", scopePull(repo), "tags"); err != nil {
			return err
		}
		if err := b.tagOfMany("tag-get-of-"+s, repo); err != nil {
			return err
		}
		if from < n {
			return fmt.Errorf("%d of %d tags after %s", from, n, *limit)
		}
	}
	return nil
}

// tagOfMany loads a manifest by one of many tags of a repository: a registry that reads the whole tag index shows here.
func (b *bench) tagOfMany(test, repo string) error {
	for run := 1; run <= *runs; run++ {
		headers, err := b.headers(b.c, scopePull(repo))
		if err != nil {
			return err
		}
		headers = append(headers, "Accept: "+mtManifest)
		m, err := b.pids.wrk(b.ctx, load{method: "GET", target: b.c.base + "/v2/" + repo + "/manifests/v000500", headers: headers, conns: *conns, dur: *dur / 2})
		if err != nil {
			return err
		}
		emit(record{Test: test, Run: run, M: m})
	}
	return nil
}

const catalogPage = "/v2/_catalog?n=100"

// catalog makes many repositories and measures a page of them.
func (b *bench) catalog() error {
	cfg := configBytes("cat")
	man := manifestBytes(desc{mtConfig, digestOf(cfg), int64(len(cfg))}, nil)
	m := b.pids.begin()
	done, err := parallel(*nRepos, *conc, *limit, func(i int) error {
		repo := fmt.Sprintf("%scat/r%05d", *prefix, i)
		if _, err := b.c.putBytes(b.ctx, repo, cfg, modePut); err != nil {
			return err
		}
		return b.c.putManifest(b.ctx, repo, "latest", man)
	})
	emit(record{Test: "repo-create", Run: 1, M: m.end(float64(done), 0)})
	if err != nil {
		return err
	}
	if done < *nRepos {
		return fmt.Errorf("%d of %d repositories after %s", done, *nRepos, *limit)
	}
	return b.list(b.c, "catalog-page100", catalogPage, scopeCatalog, "repositories")
}

// catalogOfOthers measures the same page for a member of the project, and for a user who may see none of it.
func (b *bench) catalogOfOthers() error {
	if b.hub == nil {
		return errNoHub
	}
	member, err := b.hub.newUser(b.ctx)
	if err != nil {
		return err
	}
	if err := b.hub.join(b.ctx, member); err != nil {
		return err
	}
	if err := b.list(member.client, "catalog-page100-member", catalogPage, scopeCatalog, "repositories"); err != nil {
		return err
	}
	outsider, err := b.hub.newUser(b.ctx)
	if err != nil {
		return err
	}
	return b.list(outsider.client, "catalog-page100-outsider", catalogPage, scopeCatalog, "repositories")
}
