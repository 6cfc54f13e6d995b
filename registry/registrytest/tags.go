package registrytest

import (
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

func tagTests() []test {
	return []test{
		{"a tag moves to what was pushed last", tagMoves},
		{"a deleted tag is gone, the image stays", tagDeleted},
		{"a tag that does not exist cannot be deleted", tagUnknown},
		{"a deleted tag can be pushed again", tagAgain},
		{"deleting an image removes all of its tags and no other", tagsGoWithTheImage},
		{"tags are listed in byte order", tagsInByteOrder},
		{"tags are listed page by page", tagPages},
		{"a page starts after any name, whether it exists or not", tagsAfter},
		{"a page of no tags has none", tagsNone},
		{"the longest tag is 128 characters", tagLongest},
		{"the tags of an unknown repository are no empty list", tagsOfNothing},
		{"tags of one repository are not those of another", tagsPerRepository},
	}
}

func tagMoves(f *fixture) {
	first := f.pushedImage(f.repo, "first", "latest")
	second := f.pushedImage(f.repo, "second", "latest")
	f.serves(f.repo, tag("latest"), second)
	f.serves(f.repo, by(first.digest()), first)
	f.push(f.repo, first, "latest")
	f.serves(f.repo, tag("latest"), first)
	f.tagsAre(f.repo, "latest")
}

func tagDeleted(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0", "2.0")
	f.ok(f.r.DeleteTag(f.ctx, f.repo, "1.0"), "deleting a tag")
	f.lacksManifest(f.repo, tag("1.0"))
	f.serves(f.repo, tag("2.0"), c)
	f.tagsAre(f.repo, "2.0")
	f.ok(f.r.DeleteTag(f.ctx, f.repo, "2.0"), "deleting the last tag")
	f.serves(f.repo, by(c.digest()), c)
	f.tagsAre(f.repo)
}

func tagUnknown(f *fixture) {
	gone := []registry.Code{registry.CodeManifestUnknown, registry.CodeNameUnknown}
	f.refused(f.r.DeleteTag(f.ctx, f.repo, "1.0"), "deleting a tag of an unknown repository", gone...)
	f.pushedImage(f.repo, "one", "1.0")
	f.refused(f.r.DeleteTag(f.ctx, f.repo, "2.0"), "deleting an unknown tag", registry.CodeManifestUnknown)
	f.ok(f.r.DeleteTag(f.ctx, f.repo, "1.0"), "deleting a tag")
	f.refused(f.r.DeleteTag(f.ctx, f.repo, "1.0"), "deleting a tag twice", registry.CodeManifestUnknown)
}

func tagAgain(f *fixture) {
	f.pushedImage(f.repo, "first", "1.0")
	f.ok(f.r.DeleteTag(f.ctx, f.repo, "1.0"), "deleting a tag")
	second := f.pushedImage(f.repo, "second", "1.0")
	f.serves(f.repo, tag("1.0"), second)
}

func tagsGoWithTheImage(f *fixture) {
	first := f.pushedImage(f.repo, "first", "a", "b", "c")
	second := f.pushedImage(f.repo, "second", "b", "d")
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, first.digest()), "deleting an image")
	f.lacksManifest(f.repo, tag("a"))
	f.lacksManifest(f.repo, tag("c"))
	f.lacksManifest(f.repo, by(first.digest()))
	f.serves(f.repo, tag("b"), second)
	f.tagsAre(f.repo, "b", "d")
}

// mixedTags are in byte order: digits, upper case, '_', lower case; '-' and '.' before all of them.
func mixedTags() []string {
	return []string{"1", "1-rc", "1.0", "1.10", "1.9", "10", "9", "A", "LATEST", "Z", "_", "_x", "a", "a-b", "a.b",
		"a0", "aB", "a_b", "ab", "latest", "z"}
}

func tagsInByteOrder(f *fixture) {
	want := mixedTags()
	if !slices.IsSorted(want) {
		f.Fatal("the test's own list is not in byte order")
	}
	c := f.image(f.repo, "one")
	// Pushed in an order that is neither the wanted one nor its reverse.
	for i := range want {
		f.push(f.repo, c, want[(i*8)%len(want)])
	}
	f.tagsAre(f.repo, want...)
}

func tagPages(f *fixture) {
	want := mixedTags()
	c := f.image(f.repo, "one")
	for _, name := range want {
		f.push(f.repo, c, name)
	}
	for _, n := range []int{1, 2, 7, len(want) - 1, len(want), len(want) + 1, 1000} {
		var got []string
		after := ""
		for {
			page, err := f.r.Tags(f.ctx, f.repo, after, n)
			f.ok(err, "listing %d tags after %q", n, after)
			got = append(got, page.Names...)
			if len(page.Names) != min(n, len(want)-len(got)+len(page.Names)) {
				f.Fatalf("a page of %d after %q has %d tags", n, after, len(page.Names))
			}
			if page.More != (len(got) < len(want)) {
				f.Fatalf("after %d of %d tags, more is %v", len(got), len(want), page.More)
			}
			if !page.More {
				break
			}
			after = page.Names[len(page.Names)-1]
		}
		if !slices.Equal(got, want) {
			f.Fatalf("pages of %d give %q, want %q", n, got, want)
		}
	}
}

func tagsAfter(f *fixture) {
	c := f.image(f.repo, "one")
	for _, name := range []string{"b", "d", "f"} {
		f.push(f.repo, c, name)
	}
	for after, want := range map[string][]string{
		"": {"b", "d"}, "a": {"b", "d"}, "b": {"d", "f"}, "c": {"d", "f"}, "B": {"b", "d"}, "d": {"f"}, "e": {"f"},
		"f": nil, "z": nil, "0": {"b", "d"},
	} {
		page, err := f.r.Tags(f.ctx, f.repo, after, 2)
		f.ok(err, "listing tags after %q", after)
		if !slices.Equal(page.Names, want) {
			f.Fatalf("two tags after %q are %q, want %q", after, page.Names, want)
		}
		if page.More != (len(want) == 2 && want[1] == "d") {
			f.Fatalf("after %q and %q, more is %v", after, page.Names, page.More)
		}
	}
}

func tagsNone(f *fixture) {
	f.pushedImage(f.repo, "one", "1.0")
	page, err := f.r.Tags(f.ctx, f.repo, "", 0)
	f.ok(err, "listing no tags")
	if len(page.Names) != 0 {
		f.Fatalf("a page of no tags has %q", page.Names)
	}
}

func tagLongest(f *fixture) {
	name := "v" + strings.Repeat("1", 127)
	c := f.pushedImage(f.repo, "one", name)
	f.serves(f.repo, tag(name), c)
	f.tagsAre(f.repo, name)
}

func tagsOfNothing(f *fixture) {
	_, err := f.r.Tags(f.ctx, f.repo, "", 10)
	f.refused(err, "listing the tags of an unknown repository", registry.CodeNameUnknown)
	page, err := f.r.Tags(f.ctx, f.repo, "a", 10)
	if f.s.Allows.UnknownRepositoryPages {
		f.ok(err, "listing a further page of an unknown repository, which is documented to be empty")
		if len(page.Names) != 0 {
			f.Fatalf("an unknown repository has the tags %q", page.Names)
		}
		return
	}
	f.refused(err, "listing a further page of an unknown repository", registry.CodeNameUnknown)
}

func tagsPerRepository(f *fixture) {
	here, there := f.pushedImage(f.repo, "here", "1.0"), f.pushedImage(f.other, "there", "1.0", "2.0")
	below := f.pushedImage(f.repo+"/below", "below", "3.0")
	f.tagsAre(f.repo, "1.0")
	f.tagsAre(f.other, "1.0", "2.0")
	f.tagsAre(f.repo+"/below", "3.0")
	f.serves(f.repo, tag("1.0"), here)
	f.serves(f.other, tag("1.0"), there)
	f.serves(f.repo+"/below", tag("3.0"), below)
	f.ok(f.r.DeleteTag(f.ctx, f.other, "1.0"), "deleting a tag")
	f.serves(f.repo, tag("1.0"), here)
}
