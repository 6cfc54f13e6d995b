package registrytest

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func concurrentTests() []test {
	return []test{
		{"a second writer of an upload is refused while the first writes (V-59)", secondWriter},
		{"a finish is refused while a chunk is written (V-59)", finishDuringAppend},
		{"a chunk is refused while the upload is being finished (V-59)", appendDuringFinish},
		{"asking how far an upload has come keeps nobody from writing (V-59)", askDuringWrites},
		{"whatever races on an upload, blobs have the bytes of their name (V-59)", uploadRace},
		{"eight pushes of one blob to one repository all succeed", sameBlobOneRepository},
		{"eight pushes of one blob to several repositories all succeed", sameBlobManyRepositories},
		{"eight pushes of one image all succeed", sameImage},
		{"eight pushes of one tag leave one of them", sameTag},
	}
}

// gate is a reader that gives first, says that it did, and waits for release before it gives the rest.
type gate struct {
	parts   []io.Reader
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

func gated(first, rest []byte) *gate {
	return &gate{
		parts:   []io.Reader{bytes.NewReader(first), bytes.NewReader(rest)},
		reached: make(chan struct{}), release: make(chan struct{}),
	}
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.parts[0].Read(p)
	if n > 0 || len(g.parts) == 1 {
		return n, err
	}
	g.once.Do(func() { close(g.reached) })
	<-g.release
	g.parts = g.parts[1:]
	return g.parts[0].Read(p)
}

// blocked starts write with a gated reader of data and returns when half of it was read; end lets it go on.
func (f *fixture) blocked(data []byte, write func(r io.Reader) error) (end func() error) {
	first, second := half(data)
	g := gated(first, second)
	done := make(chan error, 1)
	go func() { done <- write(g) }()
	select {
	case <-g.reached:
	case err := <-done:
		f.Fatalf("the first writer ended before it had read everything: %v", err)
	}
	return func() error {
		close(g.release)
		return <-done
	}
}

func secondWriter(f *fixture) {
	data := f.random(100_000)
	u := f.started()
	end := f.blocked(data, func(r io.Reader) error {
		_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, 0, r)
		return err
	})
	for _, at := range []int64{0, -1, int64(len(data) / 2)} {
		_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, at, bytes.NewReader(data))
		f.refused(err, "a second writer", registry.CodeRangeInvalid)
	}
	f.ok(end(), "the first writer")
	f.stands(u.ID, int64(len(data)))
	f.finished(u.ID, int64(len(data)), nil, data)
}

func finishDuringAppend(f *fixture) {
	data := f.random(100_000)
	first, _ := half(data)
	u := f.started()
	end := f.blocked(data, func(r io.Reader) error {
		_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, 0, r)
		return err
	})
	for _, d := range []digest.Digest{digest.FromBytes(first), digest.FromBytes(data), digest.FromBytes(nil)} {
		_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader(nil), d)
		f.refused(err, "a finish while a chunk is written", registry.CodeRangeInvalid)
	}
	f.ok(end(), "the first writer")
	f.lacksBlob(f.repo, digest.FromBytes(first))
	f.finished(u.ID, int64(len(data)), nil, data)
}

func appendDuringFinish(f *fixture) {
	data := f.random(100_000)
	u := f.started()
	end := f.blocked(data, func(r io.Reader) error {
		_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, r, digest.FromBytes(data))
		return err
	})
	_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader([]byte("late")))
	f.refused(err, "a chunk during the finish", registry.CodeRangeInvalid)
	_, err = f.r.FinishUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader(nil), digest.FromBytes(data))
	f.refused(err, "a finish during the finish", registry.CodeRangeInvalid)
	f.ok(end(), "the finish")
	_, err = f.r.AppendUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader([]byte("late")))
	f.refused(err, "a chunk after the finish", registry.CodeBlobUploadUnknown)
	f.hasBlob(f.repo, data)
}

func askDuringWrites(f *fixture) {
	data := f.bytes("blob")[:10]
	u := f.started()
	over := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					_, _ = f.r.Upload(f.ctx, f.repo, u.ID) // it may be told that somebody is writing
				}
			}
		})
	}
	defer asking.Wait()
	defer close(over)
	for i := range data {
		f.appended(u.ID, int64(i), data[i:i+1], int64(i+1))
	}
}

// uploadRace lets appends and finishes of one upload loose on each other. Which of them wins is open; that every blob
// which exists afterwards has the bytes of its name is not.
func uploadRace(f *fixture) {
	data := f.random(60_000)
	for round := range 5 {
		u := f.started()
		prefix := data[:20_000+round]
		f.appended(u.ID, 0, prefix, int64(len(prefix)))
		claims := []digest.Digest{digest.FromBytes(prefix), digest.FromBytes(data)}
		errs := parallel(8, func(i int) error {
			switch i % 4 {
			case 0:
				_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader(nil), claims[0])
				return err
			case 1:
				_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, int64(len(prefix)), bytes.NewReader(data[len(prefix):]), claims[1])
				return err
			default:
				_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, int64(len(prefix)), bytes.NewReader(data[len(prefix):]))
				return err
			}
		})
		finishes := 0
		for i, err := range errs {
			if err == nil {
				if i%4 < 2 {
					finishes++
				}
				continue
			}
			f.refused(err, "losing a race", registry.CodeRangeInvalid, registry.CodeBlobUploadUnknown,
				registry.CodeDigestInvalid)
		}
		if finishes > 1 {
			f.Fatalf("%d finishes of one upload succeeded", finishes)
		}
		f.namesAreTrue(claims)
	}
}

// namesAreTrue checks that each digest is either no blob, or one that hashes to it.
func (f *fixture) namesAreTrue(claims []digest.Digest) {
	f.Helper()
	for _, d := range claims {
		_, err := f.r.StatBlob(f.ctx, f.repo, d, false)
		if err != nil {
			f.refused(err, "asking for the blob", registry.CodeBlobUnknown, registry.CodeNameUnknown)
			continue
		}
		if got := digest.FromBytes(f.pulled(f.repo, d)); got != d {
			f.Fatalf("the bytes of blob %s are those of %s", d, got)
		}
	}
}

// parallel runs do n times at once and returns what each said.
func parallel(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wait.Wait()
	return errs
}

// pushBlob is upload without a test that it could end: for other goroutines.
func (f *fixture) pushBlob(repo string, data []byte) error {
	u, err := f.r.StartUpload(f.ctx, repo, "")
	if err != nil {
		return err
	}
	_, err = f.r.FinishUpload(f.ctx, repo, u.ID, 0, bytes.NewReader(data), digest.FromBytes(data))
	return err
}

func (f *fixture) allOK(errs []error) {
	f.Helper()
	for i, err := range errs {
		f.ok(err, "push %d of %d", i+1, len(errs))
	}
}

func sameBlobOneRepository(f *fixture) {
	data := f.random(300_000)
	f.allOK(parallel(8, func(int) error { return f.pushBlob(f.repo, data) }))
	f.hasBlob(f.repo, data)
}

func sameBlobManyRepositories(f *fixture) {
	data := f.random(300_000)
	repos := []string{f.repo, f.other, f.repo + "/a", f.other + "/a"}
	f.allOK(parallel(8, func(i int) error { return f.pushBlob(repos[i%len(repos)], data) }))
	for _, repo := range repos {
		f.hasBlob(repo, data)
	}
	f.ok(f.r.DeleteBlob(f.ctx, f.repo, digest.FromBytes(data)), "deleting it in one")
	for _, repo := range repos[1:] {
		f.hasBlob(repo, data)
	}
}

func sameImage(f *fixture) {
	c := f.image(f.repo, "one")
	f.allOK(parallel(8, func(int) error {
		_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
		return err
	}))
	f.serves(f.repo, tag("1.0"), c)
	f.tagsAre(f.repo, "1.0")
}

func sameTag(f *fixture) {
	var images []content
	for i := range 8 {
		images = append(images, f.image(f.repo, string(rune('a'+i))))
	}
	f.allOK(parallel(len(images), func(i int) error {
		_, err := f.r.PutManifest(f.ctx, f.repo, images[i].put("latest"))
		return err
	}))
	m, err := f.r.Manifest(f.ctx, f.repo, tag("latest"), false)
	f.ok(err, "pulling the tag")
	if !slices.ContainsFunc(images, func(c content) bool { return bytes.Equal(c.payload, m.Payload) }) {
		f.Fatalf("the tag serves what nobody pushed: %s", m.Payload)
	}
	for _, c := range images {
		f.serves(f.repo, by(c.digest()), c)
	}
	f.tagsAre(f.repo, "latest")
}
