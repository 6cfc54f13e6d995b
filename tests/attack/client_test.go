package attack

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client does what a registry client does, without the conveniences that would hide something: no redirects, no cookies.
var client = &http.Client{
	Timeout:       30 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// who is somebody who asks: what stands in the Authorization header.
type who struct {
	name   string
	user   string
	secret string
	header string
}

func anonymous() who { return who{name: "anonymous"} }

func basic(user, secret string) who {
	return who{name: user, user: user, secret: secret,
		header: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))}
}

func bearer(token string) who { return who{name: "bearer", secret: token, header: "Bearer " + token} }

func (h *hub) admin() who { return basic("admin", h.password) }

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %s %s", a.status, a.header.Get("Www-Authenticate"), cut(a.body, 400))
}

func cut(b []byte, n int) []byte { return b[:min(len(b), n)] }

// code is the code of an error in either form: that of OCI or that of the API.
func (a *answer) code() string {
	var v struct {
		Code   string
		Errors []struct{ Code string }
	}
	_ = json.Unmarshal(a.body, &v) // what is no such body has no code
	if v.Code == "" && len(v.Errors) > 0 {
		return v.Errors[0].Code
	}
	return v.Code
}

// decode reads the body as JSON.
func (a *answer) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in: %s", err, a)
	}
}

// want fails the test if the status is none of these.
func (a *answer) want(t testing.TB, what string, status ...int) *answer {
	t.Helper()
	for _, s := range status {
		if a.status == s {
			return a
		}
	}
	t.Fatalf("%s: want %v, got %s", what, status, a)
	return nil
}

type headers map[string]string

// do sends a request. body may be nil, a string, bytes, a reader or anything that becomes JSON.
func (h *hub) do(t testing.TB, p who, method, path string, body any, header ...headers) *answer {
	t.Helper()
	a, err := h.try(p, method, path, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is do for those who expect that it may fail, or run beside the test.
func (h *hub) try(p who, method, path string, body any, header ...headers) (*answer, error) {
	var r io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		r, kind = bytes.NewReader(text), "application/json"
	}
	req, err := http.NewRequest(method, "http://"+h.addr+path, r)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if p.header != "" {
		req.Header.Set("Authorization", p.header)
	}
	for _, hs := range header {
		for k, v := range hs {
			if k == "Host" {
				req.Host = v
				continue
			}
			req.Header.Set(k, v)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return read(res)
}

func read(res *http.Response) (*answer, error) {
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &answer{res.StatusCode, res.Header, b}, err
}

// raw sends bytes as they are and reads one response.
func (h *hub) raw(t testing.TB, method string, request string) *answer {
	t.Helper()
	c, err := net.DialTimeout("tcp", h.addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(c, request) }() // the hub may answer and close before it has all
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	return a
}

// rawRequest is a request without body whose target is exactly this text.
func (h *hub) rawRequest(p who, method, target string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, h.addr)
	if p.header != "" {
		fmt.Fprintf(&b, "Authorization: %s\r\n", p.header)
	}
	for _, m := range more {
		b.WriteString(m + "\r\n")
	}
	return b.String() + "\r\n"
}

// token asks the token service for a registry token.
func (h *hub) token(t testing.TB, p who, scopes ...string) string {
	t.Helper()
	q := url.Values{"service": {"hallmark"}, "scope": scopes}
	a := h.do(t, p, "GET", "/service/token?"+q.Encode(), nil).want(t, "token of "+p.name, 200)
	var v struct{ Token string }
	a.decode(t, &v)
	return h.secrets.add("a registry token", v.Token)
}

var statistic = regexp.MustCompile(`(?m)^# (\w+) = (\d+)$`)

// memory is what the Go runtime of the hub says of its memory (runtime.MemStats), after a collection.
func (h *hub) memory(t testing.TB) map[string]int64 {
	t.Helper()
	res, err := client.Get("http://" + h.internal + "/debug/pprof/heap?debug=1&gc=1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, m := range statistic.FindAllStringSubmatch(string(a.body), -1) {
		out[m[1]], _ = strconv.ParseInt(m[2], 10, 64) // digits, or it would not have matched
	}
	if out["Sys"] == 0 {
		t.Fatalf("the profile has no statistics: %s", cut(a.body, 200))
	}
	return out
}

// frugal runs f and fails if the hub's memory grew by more than these many bytes meanwhile. What the runtime has taken
// from the system never gets less, so nothing in between is missed.
func (h *hub) frugal(t testing.TB, most int64, f func()) {
	t.Helper()
	before := h.memory(t)
	f()
	after := h.memory(t)
	if grown := after["Sys"] - before["Sys"]; grown > most {
		t.Errorf("the hub's memory grew by %d KiB, more than %d KiB", grown>>10, most>>10)
	}
	if grown := after["HeapAlloc"] - before["HeapAlloc"]; grown > most {
		t.Errorf("the hub keeps %d KiB more than before, more than %d KiB", grown>>10, most>>10)
	}
}
