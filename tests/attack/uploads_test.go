package attack

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

var uploadHubs = newHubs()

// TestV28OthersUploads: an upload is there for whoever began it, in the repository where it was begun, and nowhere else.
func TestV28OthersUploads(t *testing.T) {
	uploadHubs.on(t, func(t *testing.T, h *hub) {
		project, other := h.project(t, "uploads", "private"), h.project(t, "more", "private")
		repo := project + "/app"
		mine := h.newMember(t, project, "developer")
		h.member(t, other, mine, "developer")
		path := h.startUpload(t, mine, repo)
		h.do(t, mine, "PATCH", path, "first ").want(t, "a chunk", 202)
		id := uploadID(path)
		d := digest.FromString("first second").String()

		thief := h.newMember(t, project, "owner")
		robot := h.robot(t, project, grant{"**", []string{"pull", "push", "delete"}}).who()
		thieves := []who{thief, robot, h.admin(), bearer(h.token(t, thief, "repository:"+repo+":pull,push")), bearer(h.token(t, robot, "repository:"+repo+":pull,push"))}
		attack := func(p who, path string, want ...int) {
			t.Helper()
			for _, method := range []string{"GET", "HEAD", "PATCH", "PUT", "DELETE"} {
				target, body := path, any(nil)
				switch method {
				case "PATCH":
					body = "second"
				case "PUT":
					target += "?digest=" + d
				}
				h.do(t, p, method, target, body).want(t, fmt.Sprintf("%s %s %s", p, method, path), want...)
			}
		}
		for _, p := range thieves {
			attack(p, path, 404)
		}
		for _, elsewhere := range []string{project + "/other", other + "/app"} {
			h.startUpload(t, mine, elsewhere) // it is there
			attack(mine, "/v2/"+elsewhere+"/blobs/uploads/"+id, 404)
		}
		attack(h.user(t, "stranger"), path, 403)
		attack(anonymous(), path, 401)

		// Other spellings of the id are no upload, and reach no file.
		for _, spelled := range []string{strings.ToUpper(id), "../uploads/" + id, "..%2f" + id, "%2e%2e/" + id, id + "/", id + "/..", "./" + id, id + "%00", "%00" + id, id + "%20", id + ".", "{" + id + "}",
			"urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), id[:len(id)-1], id + "0", "0", "-", "..", "*", "%2e%2e%2f%2e%2e%2fmaster.key", strings.Repeat("a", 200), "00000000-0000-0000-0000-000000000000", id + ";x", id + "%0d%0aX: y"} {
			for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
				target := "/v2/" + repo + "/blobs/uploads/" + spelled
				if method == "PUT" {
					target += "?digest=" + d
				}
				a := h.raw(t, method, h.rawRequest(mine, method, target, "Content-Length: 0"))
				if a.status != 404 && a.status != 400 && !(a.status == 405 && strings.HasSuffix(spelled, "..")) {
					t.Errorf("%s with the id %q: %s", method, spelled, a)
				}
			}
		}
		// After all that it is as it was.
		a := h.do(t, mine, "GET", path, nil).want(t, "the upload", 204)
		if got := a.header.Get("Range"); got != "0-5" {
			t.Errorf("the upload is at %s", got)
		}
		h.do(t, mine, "PUT", path+"?digest="+d, "second").want(t, "finish", 201)
		attack(mine, path, 404)

		// Who lost the right to push has lost the upload too.
		path = h.startUpload(t, mine, repo)
		h.member(t, project, mine, "guest")
		eventually(t, "the upload to be refused", time.Second, func() error {
			if a := h.do(t, mine, "GET", path, nil); a.status != 403 {
				return fmt.Errorf("it answers %s", a)
			}
			return nil
		})
		attack(mine, path, 403)
	})
}

// held is a request whose body arrives only when the test says so.
type held struct {
	body *io.PipeWriter
	done chan *answer
}

// patient is a client that sends no byte of a body before the hub says that it is reading it (Expect: 100-continue).
var patient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}

// hold begins a request and returns when the hub reads its body: it has taken the upload, and nobody else may write.
func (h *hub) hold(t testing.TB, p who, method, path, first string) *held {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequest(method, "http://"+h.addr+path, onlyPipe{r})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", p.header)
	req.Header.Set("Expect", "100-continue")
	out := &held{body: w, done: make(chan *answer, 1)}
	go func() {
		defer r.Close()
		a := &answer{status: -1}
		res, err := patient.Do(req)
		if err == nil {
			a, err = read(res)
		}
		if err != nil {
			a.body = []byte(err.Error())
		}
		out.done <- a
	}()
	if _, err := io.WriteString(w, first); err != nil {
		t.Fatalf("%s %s was not read: %s", method, path, <-out.done)
	}
	return out
}

// onlyPipe hides the pipe's Close from the client, which would else close it when the hub answers early.
type onlyPipe struct{ io.Reader }

// TestV59RacingWriters: two who write to one upload at once do not mix, and nothing is added to what is finished.
func TestV59RacingWriters(t *testing.T) {
	uploadHubs.on(t, func(t *testing.T, h *hub) {
		repo := h.project(t, "races", "private") + "/app"
		p := h.admin()
		intact := func(content string) {
			t.Helper()
			a := h.do(t, p, "GET", blobPath(repo, digest.FromString(content)), nil).want(t, "the blob", 200)
			if string(a.body) != content {
				t.Errorf("the blob is %q", a.body)
			}
		}
		t.Run("PATCH while PATCH", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			slow := h.hold(t, p, "PATCH", path, "slow ")
			h.do(t, p, "PATCH", path, "fast ").want(t, "the second writer", 416, 409)
			h.do(t, p, "PATCH", path, "fast ", headers{"Content-Range": "0-4"}).want(t, "the second writer at 0", 416, 409)
			io.WriteString(slow.body, "writer")
			slow.body.Close()
			(<-slow.done).want(t, "the first writer", 202)
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("slow writer").String(), nil).want(t, "finish", 201)
			intact("slow writer")
		})
		t.Run("PUT while PATCH", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			h.do(t, p, "PATCH", path, "begun, ").want(t, "a chunk", 202)
			slow := h.hold(t, p, "PATCH", path, "continued ")
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("begun, ").String(), nil).want(t, "finish meanwhile", 416, 409)
			h.do(t, p, "DELETE", path, nil).want(t, "cancel meanwhile", 416, 409)
			io.WriteString(slow.body, "late")
			slow.body.Close()
			(<-slow.done).want(t, "the first writer", 202)
			h.do(t, p, "HEAD", blobPath(repo, digest.FromString("begun, ")), nil).want(t, "what was not finished", 404)
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("begun, continued late").String(), nil).want(t, "finish", 201)
			intact("begun, continued late")
		})
		t.Run("PATCH while PUT", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			const content = "finishing slowly"
			slow := h.hold(t, p, "PUT", path+"?digest="+digest.FromString(content).String(), "finishing ")
			h.do(t, p, "PATCH", path, "more").want(t, "add meanwhile", 416, 409)
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("more").String(), "more").want(t, "finish meanwhile", 416, 409)
			io.WriteString(slow.body, "slowly")
			slow.body.Close()
			(<-slow.done).want(t, "the first writer", 201)
			h.do(t, p, "PATCH", path, "late").want(t, "add afterwards", 404)
			h.do(t, p, "PUT", path+"?digest="+digest.FromString(content+"late").String(), "late").want(t, "finish again", 404)
			intact(content)
		})
		t.Run("a late PATCH", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			h.do(t, p, "PATCH", path, "whole").want(t, "a chunk", 202)
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("whole").String(), nil).want(t, "finish", 201)
			h.do(t, p, "PATCH", path, "late", headers{"Content-Range": "5-8"}).want(t, "the late one", 404)
			h.do(t, p, "PATCH", path, onlyReader{strings.NewReader("late")}).want(t, "the late one", 404)
			intact("whole")
		})
		t.Run("a writer that goes away", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			gone := h.hold(t, p, "PATCH", path, "half of ")
			gone.body.CloseWithError(io.ErrUnexpectedEOF)
			<-gone.done
			eventually(t, "the upload to be free again", 5*time.Second, func() error {
				a := h.do(t, p, "GET", path, nil)
				if a.status != 204 || a.header.Get("Range") != "0-7" {
					return fmt.Errorf("it answers %s, %s", a, a.header.Get("Range"))
				}
				return nil
			})
			h.do(t, p, "PUT", path+"?digest="+digest.FromString("half of it").String(), "it", headers{"Content-Range": "8-9"}).want(t, "finish", 201)
			intact("half of it")
		})
		t.Run("asking is not writing", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			var asking sync.WaitGroup
			var over atomic.Bool
			for range 4 {
				asking.Go(func() {
					for !over.Load() {
						_, _ = h.try(p, "GET", path, nil) // it may be told that somebody is writing
					}
				})
			}
			for i := range 50 {
				if a := h.do(t, p, "PATCH", path, "x"); a.status != 202 {
					t.Errorf("chunk %d, while others ask how far it is: %s", i, a)
					break
				}
			}
			over.Store(true)
			asking.Wait()
		})
		t.Run("many at once", func(t *testing.T) {
			path := h.startUpload(t, p, repo)
			content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
			var all sync.WaitGroup
			taken := make(chan int, 16)
			for i := range 16 {
				all.Go(func() {
					a, err := h.try(p, "PATCH", path, content, headers{"Content-Range": fmt.Sprintf("0-%d", len(content)-1)})
					if err == nil && a.status == 202 {
						taken <- i
					}
				})
			}
			all.Wait()
			if len(taken) != 1 {
				t.Errorf("%d of 16 wrote the same place", len(taken))
			}
			finished := make(chan int, 16)
			for i := range 16 {
				all.Go(func() {
					a, err := h.try(p, "PUT", path+"?digest="+digest.FromBytes(content).String(), nil)
					if err == nil && a.status == 201 {
						finished <- i
					}
				})
			}
			all.Wait()
			if len(finished) != 1 {
				t.Errorf("%d of 16 finished it", len(finished))
			}
			intact(string(content))
		})
	})
}
