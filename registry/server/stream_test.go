package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// drip is a client that sends size bytes every interval, until a deadline that has been set passes.
type drip struct {
	http.ResponseWriter // nil
	size                int
	interval            time.Duration
	left                int
	deadline            time.Time
	set                 int
}

func (d *drip) SetReadDeadline(t time.Time) error {
	d.deadline = t
	d.set++
	return nil
}
func (d *drip) SetWriteDeadline(time.Time) error { return nil }

func (d *drip) Read(p []byte) (int, error) {
	wait := d.interval
	if !d.deadline.IsZero() && time.Until(d.deadline) < wait {
		<-time.After(time.Until(d.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	<-time.After(wait)
	n := min(len(p), d.size, d.left)
	d.left -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (d *drip) body(exact bool, limit int64) *body {
	return &body{
		src: d, control: http.NewResponseController(d), left: limit, exact: exact, over: errors.New("over"),
		quota: 240 << 10, window: time.Minute,
	}
}

// 4 KiB/s averaged over 60 s: just enough goes on for hours, a little less is cut after a minute.
func TestMinimumRateOfUploads(t *testing.T) {
	for name, c := range map[string]struct {
		size, total int
		interval    time.Duration
		pause       time.Duration // of the registry between two reads
		cut         bool
	}{
		"just enough":         {8 << 10, 64 << 20, 2 * time.Second, 0, false},
		"a little less":       {8<<10 - 200, 64 << 20, 2 * time.Second, 0, true},
		"in bursts":           {250 << 10, 32 * 250 << 10, 50 * time.Second, 0, false},
		"nothing at all":      {1, 10, time.Hour, 0, true},
		"one byte every 10 s": {1, 1000, 10 * time.Second, 0, true},
		"slow registry":       {32 << 10, 8 << 20, time.Second, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &drip{size: c.size, interval: c.interval, left: c.total}
				b := d.body(false, 1<<40)
				start := time.Now()
				buf := make([]byte, 1<<20)
				var err error
				for err == nil {
					_, err = b.Read(buf)
					if c.pause > 0 {
						<-time.After(c.pause)
					}
				}
				if errors.Is(err, os.ErrDeadlineExceeded) != c.cut {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				var se *statusError
				if told := b.blame(errors.New("registry")); c.cut && (!errors.As(told, &se) || se.status != 408) {
					t.Errorf("%v", told)
				}
				if !c.cut && (!d.deadline.IsZero() || d.left != 0) {
					t.Errorf("deadline %v, %d left", d.deadline, d.left)
				}
			})
		})
	}
}

func TestBodyBounds(t *testing.T) {
	over := errors.New("over")
	for _, c := range []struct {
		data  string
		limit int64
		exact bool
		want  string
		err   error // nil for a good end
		code  registry.Code
	}{
		{"", 0, false, "", nil, ""},
		{"abc", 3, false, "abc", nil, ""},
		{"abc", 4, false, "abc", nil, ""},
		{"abcd", 3, false, "abc", over, ""},
		{"abc", 3, true, "abc", nil, ""},
		{"ab", 3, true, "ab", nil, registry.CodeSizeInvalid},
		{"abcd", 3, true, "abc", over, ""},
	} {
		b := (&drip{}).body(c.exact, c.limit)
		b.src, b.over = strings.NewReader(c.data), over
		got, err := io.ReadAll(b)
		if string(got) != c.want || c.err != nil && !errors.Is(err, c.err) || c.code != "" && registry.CodeOf(err) != c.code ||
			c.err == nil && c.code == "" && err != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
		if _, again := b.Read(make([]byte, 1)); err != nil && !errors.Is(again, err) {
			t.Errorf("%v, and then %v", err, again)
		}
	}
}

// pipes is a listener without a network, for servers whose time is synctest's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// client is one connection to a server in a bubble.
type client struct {
	*testing.T
	net.Conn
	in   *bufio.Reader
	done chan Response
}

// bubble runs f with a connection to a server without timeouts of its own.
func bubble(t *testing.T, mem *memory, f func(c client)) {
	synctest.Test(t, func(t *testing.T) {
		listener, done := make(pipes), make(chan Response, 10)
		srv := &http.Server{Handler: New(mem, Options{OnResponse: func(r Response) { done <- r }})}
		go func() { _ = srv.Serve(listener) }()
		near, far := net.Pipe()
		listener <- far
		f(client{t, near, bufio.NewReader(near), done})
		_ = near.Close()
		close(listener)
		_ = srv.Close()
	})
}

func (c client) send(request string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, request); err != nil {
		c.Fatal(err)
	}
}

// receive reads a response and returns its status and body.
func (c client) receive() (*http.Response, string) {
	c.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	return res, string(data)
}

// Who sends nothing any more is told so with 408 after a minute, and what had arrived is still there.
func TestSlowUploadIsCut(t *testing.T) {
	for _, request := range []string{
		"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"PUT /v2/p/app/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
	} {
		mem := newMemory()
		mem.uploads["u"] = &upload{repo: "p/app"}
		bubble(t, mem, func(c client) {
			start := time.Now()
			c.send(request)
			res, body := c.receive()
			if res.StatusCode != 408 || !res.Close || !strings.Contains(body, "too slow") || time.Since(start) != time.Minute {
				c.Errorf("%d after %v: %s", res.StatusCode, time.Since(start), body)
			}
		})
		if got := mem.uploads["u"].data.String(); got != "abc" && strings.HasPrefix(request, "PATCH") {
			t.Errorf("%q", got)
		}
	}
}

// Who does not take what they asked for is cut off after a minute.
func TestSlowDownloadIsCut(t *testing.T) {
	data := strings.Repeat("x", 1<<20)
	mem := newMemory()
	mem.repos["p/app"] = &repo{blobs: map[digest.Digest][]byte{digest.FromString(data): []byte(data)}}
	bubble(t, mem, func(c client) {
		c.send("GET /v2/p/app/blobs/" + sum(data) + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if r := <-c.done; r.Bytes >= int64(len(data)) || r.Duration != time.Minute {
			c.Errorf("%d bytes in %v", r.Bytes, r.Duration)
		}
	})
}

// Who takes no response at all is cut off as well, however small it is: nobody holds a connection for ever.
func TestStalledReaderIsCut(t *testing.T) {
	for _, request := range []string{
		"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v2/p/app/manifests/latest HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD /v2/p/app/manifests/latest HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v2/p/app/manifests/none HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v2/p/app/tags/list HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v2/p/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
	} {
		payload := []byte(strings.Repeat("x", 100<<10)) // less than a client has to take within the window
		d := digest.FromBytes(payload)
		mem := newMemory()
		mem.uploads["u"] = &upload{repo: "p/app"}
		mem.repos["p/app"] = &repo{
			manifests: map[digest.Digest]*stored{d: {Manifest: &registry.Manifest{Digest: d, Payload: payload}}},
			tags:      map[string]digest.Digest{"latest": d},
		}
		bubble(t, mem, func(c client) {
			c.send(request)
			if r := <-c.done; r.Duration != time.Minute {
				c.Errorf("%.40s ended after %v", request, r.Duration)
			}
			if _, err := io.Copy(io.Discard, c.in); err != nil { // the server has closed it
				c.Error(err)
			}
		})
	}
}

// The same on a real connection, whose buffers have to be full first.
func TestStalledReaderOfManyResponsesIsCut(t *testing.T) {
	closed := make(chan struct{})
	srv := httptest.NewUnstartedServer(New(newMemory(), Options{Limits: Limits{RateWindow: 100 * time.Millisecond}}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			close(closed)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		ask := strings.Repeat("GET /v2/p/app/tags/list HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
		for {
			if _, err := io.WriteString(conn, ask); err != nil {
				return
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("who asks and takes nothing keeps the connection")
	}
}

// A refusal waits for a body that nobody reads no longer than a moment.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	mem := newMemory()
	mem.denied = registry.NewError(registry.CodeDenied, "No.")
	bubble(t, mem, func(c client) {
		start := time.Now()
		c.send("PUT /v2/p/app/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
		if res, body := c.receive(); res.StatusCode != 403 || time.Since(start) != bodyGrace {
			c.Errorf("%d after %v: %s", res.StatusCode, time.Since(start), body)
		}
	})
}

// No deadline is left on a connection: it may be used again after a pause.
func TestConnectionIsUsableAfterTransfers(t *testing.T) {
	data := strings.Repeat("x", 1<<20)
	mem := newMemory()
	mem.repos["p/app"] = &repo{blobs: map[digest.Digest][]byte{digest.FromString(data): []byte(data)}}
	mem.uploads["u"] = &upload{repo: "p/app"}
	bubble(t, mem, func(c client) {
		for _, step := range []struct {
			request string
			status  int
		}{
			{"GET /v2/p/app/blobs/" + sum(data) + " HTTP/1.1\r\nHost: x\r\n\r\n", 200},
			{"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 200},
			{"GET /v2/p/app/manifests/none HTTP/1.1\r\nHost: x\r\n\r\n", 404},
			{"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 202},
			{"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 202},
			{"PATCH /v2/p/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Range: 0-2\r\n\r\nabc", 416},
			{"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		} {
			c.send(step.request)
			if res, body := c.receive(); res.StatusCode != step.status {
				c.Errorf("%d: %s", res.StatusCode, body)
			}
			<-time.After(5 * time.Minute)
		}
	})
}

// Who takes just enough gets all of it, although each piece lasts longer than a window.
func TestSteadyDownloadIsNotCut(t *testing.T) {
	data := randomBytes(3 << 20)
	files, path := newFiles(t, data)
	for name, reg := range map[string]registry.Registry{"file": files, "object": objects{files}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(New(reg, Options{Limits: Limits{RateWindow: time.Second, MinRate: 20 << 10}}))
			srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10) // the kernel must not take what the client does not
				return ctx
			}
			srv.Start()
			t.Cleanup(srv.Close)
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(&slow{conn, time.NewTicker(100 * time.Millisecond)})
			if _, body := (client{t, conn, in, nil}).receive(); body != string(data) {
				t.Errorf("%d bytes", len(body))
			}
		})
	}
}

// objects has blobs that are no files, as an object store does.
type objects struct{ registry.Registry }

func (o objects) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	b, err := o.Registry.Blob(ctx, repo, d)
	if err == nil {
		b.Content = struct{ registry.BlobContent }{b.Content}
	}
	return b, err
}

// slow reads 64 KiB with each tick.
type slow struct {
	io.Reader
	tick *time.Ticker
}

func (s *slow) Read(p []byte) (int, error) {
	<-s.tick.C
	return io.ReadFull(s.Reader, p[:min(len(p), 64<<10)])
}
