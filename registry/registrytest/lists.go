package registrytest

import (
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

func listTests() []test {
	all := []test{
		{"a new registry has no repositories", listEmpty},
		{"repositories are listed in byte order", listAll},
		{"repositories are listed page by page", listPages},
		{"whoever may see nothing gets an empty list", listNothing},
		{"a project's repositories are listed alone", listProject},
		{"names are matched besides", listMatched},
	}
	for i, listed := range all {
		all[i].run = func(f *fixture) {
			if f.s.Allows.Unlisted {
				listUnlisted(f)
				return
			}
			listed.run(f)
		}
	}
	return all
}

// listUnlisted: whatever is asked for, nothing is shown of what is there.
func listUnlisted(f *fixture) {
	f.six()
	project, _, _ := strings.Cut(f.s.Repository, "/")
	for _, q := range []registry.RepositoryQuery{{N: 100, All: true}, {N: 100, Public: true, Projects: []string{project}}, {N: 100}} {
		f.sameNames(f.listed(q), nil, "the repositories")
	}
}

// fresh makes f work on a registry of its own: listing shows what other tests have pushed.
func (f *fixture) fresh() {
	f.Helper()
	f.r = f.s.Open(f.T)
}

// six pushes an image to six repositories whose names sort differently by byte, by letter and by path.
func (f *fixture) six() []string {
	f.Helper()
	f.fresh()
	a, b := f.s.Repository, f.s.Other
	want := []string{a, a + "-x", a + ".x", a + "/x", a + "0", b + "/deep/er"}
	slices.Sort(want)
	for i := range want {
		f.pushedImage(want[(i*5)%len(want)], "one", "1.0")
	}
	return want
}

// listed reads all pages of at most n names.
func (f *fixture) listed(q registry.RepositoryQuery) []string {
	f.Helper()
	var all []string
	for range 100 {
		page, err := f.r.Repositories(f.ctx, q)
		f.ok(err, "listing repositories after %q", q.After)
		if len(page.Names) > q.N {
			f.Fatalf("a page of at most %d repositories has %d", q.N, len(page.Names))
		}
		if page.More && len(page.Names) == 0 {
			f.Fatal("an empty page says that there are more, and not after what")
		}
		all = append(all, page.Names...)
		if !page.More {
			return all
		}
		q.After = page.Names[len(page.Names)-1]
	}
	f.Fatal("the repositories do not end after 100 pages")
	return nil
}

func (f *fixture) sameNames(got, want []string, what string) {
	f.Helper()
	if f.s.Allows.RepositoryOrder {
		got, want = slices.Clone(got), slices.Clone(want)
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		f.Fatalf("%s are %q, want %q", what, got, want)
	}
}

func listEmpty(f *fixture) {
	f.fresh()
	f.sameNames(f.listed(registry.RepositoryQuery{All: true, N: 10}), nil, "the repositories of a new registry")
}

func listAll(f *fixture) {
	want := f.six()
	f.sameNames(f.listed(registry.RepositoryQuery{All: true, N: 1000}), want, "the repositories")
}

func listPages(f *fixture) {
	want := f.six()
	for _, n := range []int{1, 2, 5, 6, 7} {
		f.sameNames(f.listed(registry.RepositoryQuery{All: true, N: n}), want, "the pages of repositories together")
	}
	page, err := f.r.Repositories(f.ctx, registry.RepositoryQuery{All: true, N: 2, After: want[len(want)-1] + "z"})
	f.ok(err, "listing after the last name")
	if !f.s.Allows.RepositoryOrder && (len(page.Names) != 0 || page.More) {
		f.Fatalf("after the last name there are %q", page.Names)
	}
}

func listNothing(f *fixture) {
	f.six()
	f.sameNames(f.listed(registry.RepositoryQuery{N: 100}), nil, "the repositories for nobody")
	f.sameNames(f.listed(registry.RepositoryQuery{N: 100, Projects: []string{"no-such-project"}}), nil,
		"the repositories of an unknown project")
}

func listProject(f *fixture) {
	all := f.six()
	for _, prefix := range []string{f.s.Repository, f.s.Other} {
		project, _, _ := strings.Cut(prefix, "/")
		var want []string
		for _, name := range all {
			if strings.HasPrefix(name, project+"/") {
				want = append(want, name)
			}
		}
		for _, n := range []int{1, 3, 100} {
			q := registry.RepositoryQuery{N: n, Projects: []string{project}}
			f.sameNames(f.listed(q), want, "the repositories of "+project)
		}
	}
}

func listMatched(f *fixture) {
	all := f.six()
	match := func(name string) bool { return strings.HasSuffix(name, "x") || strings.HasSuffix(name, "er") }
	var want []string
	for _, name := range all {
		if match(name) {
			want = append(want, name)
		}
	}
	for _, n := range []int{1, 2, 100} {
		f.sameNames(f.listed(registry.RepositoryQuery{All: true, N: n, Match: match}), want, "the matching repositories")
	}
}
