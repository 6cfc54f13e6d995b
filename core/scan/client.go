package scan

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// Limits of what is taken from an adapter. Zero values are the defaults.
type Limits struct {
	Report   int64         // bytes of one answer; 64 MiB
	Findings int           // in one report, of either kind; 100,000
	Time     time.Duration // of one scan, with waiting; 30 minutes
	Answer   time.Duration // of one request with its answer; 2 minutes
}

func (l Limits) orDefault() Limits {
	if l.Report == 0 {
		l.Report = 64 << 20
	}
	if l.Findings == 0 {
		l.Findings = 100_000
	}
	if l.Time == 0 {
		l.Time = 30 * time.Minute
	}
	if l.Answer == 0 {
		l.Answer = 2 * time.Minute
	}
	return l
}

const (
	maxMetadata = 1 << 20
	maxAccepted = 64 << 10 // of the answer to a request of a scan, and of an error
	maxSentence = 500      // bytes of what an adapter says that are shown
	dialTime    = 10 * time.Second
)

// Error is why an adapter's answer is none, in a sentence. Final: asking again does not mend it.
type Error struct {
	Reason string
	Final  bool
}

func (e *Error) Error() string { return e.Reason }

func failed(format string, args ...any) *Error { return &Error{Reason: fmt.Sprintf(format, args...)} }

// Client speaks to one adapter. It follows no redirect and goes to no other address than the one an administrator wrote. Its
// methods may be called concurrently.
type Client struct {
	name          string
	base          string
	authorization string
	http          *http.Client
	limits        Limits
}

// NewClient makes a client of a scanner. It sends nothing yet.
func NewClient(v *store.Scanner, secret string, limits Limits) (*Client, error) {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSHandshakeTimeout:    dialTime,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // what is unpacked is not bounded by what was sent
	}
	if v.CAPEM != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(v.CAPEM)) {
			return nil, failed("there is no certificate in the CA of the scanner %s: save it again", v.Name)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c := &Client{name: v.Name, base: strings.TrimRight(v.URL, "/"), limits: limits.orDefault(), http: &http.Client{Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	switch {
	case v.Username != "":
		c.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(v.Username+":"+secret))
	case secret != "":
		c.authorization = "Bearer " + secret
	}
	return c, nil
}

// Close drops connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request to a path below the scanner's address, such as /api/v1/metadata, with the hub's credential. The body of
// the answer ends with an *Error behind Limits.Report bytes. The caller bounds the time, and closes the body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "hallmark")
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	answer.Body = &bounded{ReadCloser: answer.Body, left: c.limits.Report, most: c.limits.Report}
	return answer, nil
}

// unreachable is what to say of a request that came to no answer. The error of the network names the address, which is the
// administrator's to see, and never the credential.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return failed("the scanner %s did not answer in time", c.name)
		}
		return cause
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return failed("the scanner %s cannot be reached: %s", c.name, clip(err.Error(), maxSentence))
}

// bounded ends an answer that is longer than it may be.
type bounded struct {
	io.ReadCloser
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLong()
	}
	if int64(len(p)) > b.left+1 { // one more tells an end from what goes on
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.tooLong()
	}
	return n, err
}

func (b *bounded) tooLong() error {
	return &Error{Reason: fmt.Sprintf("the scanner's answer has more than %d bytes, which is the limit (limits.scan_report_bytes)", b.most), Final: true}
}

// call sends a request and returns an answer of at most so many bytes. Its time is bounded, however slowly it comes.
func (c *Client) call(ctx context.Context, method, path string, header http.Header, body []byte, most int64) (status int, _ []byte, _ error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Answer)
	defer cancel()
	answer, err := c.Do(ctx, method, path, header, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case errors.As(err, new(*Error)):
		return 0, nil, err
	case err != nil:
		return 0, nil, c.unreachable(ctx, err)
	case int64(len(out)) > most:
		return 0, nil, failed("the scanner %s answered with more than %d bytes where a few are due", c.name, most)
	}
	return answer.StatusCode, out, nil
}

// Metadata asks an adapter what it is and can.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	status, body, err := c.call(ctx, http.MethodGet, "/api/v1/metadata",
		http.Header{"Accept": {mediaMetadata + "; version=1.1, " + mediaMetadata + "; version=1.0"}}, nil, maxMetadata)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, c.said(status, body)
	}
	var m Metadata
	if err := json.Unmarshal(body, &m); err != nil || len(m.Capabilities) == 0 {
		return nil, failed("what the scanner %s says of itself is not what adapters say: is this the address of an adapter?", c.name)
	}
	return &m, nil
}

// Request is what Scan asks for.
type Request struct {
	Repository, Digest, MediaType string
	RegistryURL                   string   // where the image is
	Authorization                 string   // with which it, and nothing else, can be read there
	SBOMs                         []string // media types of bills of materials that are wanted besides
}

// order is a request of a scan as an adapter is asked, with the reports that will be fetched.
type order struct {
	scanRequest
	mediaType                string // of the request
	vulnerabilities, content string // media types of the reports, as the adapter writes them
	bill                     string
	sboms                    []string
}

// plan chooses from what an adapter can do what is asked of it. An adapter can do one thing only, such as to look for malware.
func (c *Client) plan(m *Metadata, r Request) (*order, error) {
	o := &order{mediaType: mediaRequest + "; version=1.1"}
	typed := false
	for i := range m.Capabilities {
		one := &m.Capabilities[i]
		typed = typed || one.Type != ""
		if !one.consumes(r.MediaType) {
			continue
		}
		enabled := enabledCapability{Type: one.kind()}
		switch one.kind() {
		case capVulnerability:
			o.vulnerabilities = one.produces(reportHarbor, reportGeneric)
			enabled.Produces = []string{o.vulnerabilities}
		case capContent:
			o.content = one.produces(reportContents)
			enabled.Produces = []string{o.content}
		case capSBOM:
			o.offerSBOMs(one, r.SBOMs)
			if len(o.sboms) > 0 {
				enabled.Produces, enabled.Parameters = []string{o.bill}, &attributes{o.sboms}
			}
		}
		if len(enabled.Produces) == 1 && enabled.Produces[0] != "" {
			o.Capabilities = append(o.Capabilities, enabled)
		}
	}
	if o.vulnerabilities == "" && o.content == "" {
		return nil, &Error{Reason: fmt.Sprintf("the scanner %s makes no report that the hub reads of images of the type %s", c.name, r.MediaType), Final: true}
	}
	if !typed { // what speaks 1.0 knows of nothing to choose from
		o.mediaType, o.Capabilities = mediaRequest+"; version=1.0", nil
	}
	o.Registry.URL, o.Registry.Authorization = r.RegistryURL, r.Authorization
	o.Artifact = artifact{Repository: r.Repository, Digest: r.Digest, MediaType: r.MediaType}
	return o, nil
}

func (o *order) offerSBOMs(one *Capability, wanted []string) {
	if o.bill = one.produces(reportSBOM); o.bill == "" || one.Attributes == nil {
		return
	}
	for _, w := range wanted {
		for _, have := range one.Attributes.SBOMMediaTypes {
			if same(w, have) {
				o.sboms = append(o.sboms, have)
			}
		}
	}
}

// Scan has an image scanned and returns what was found. The error is an *Error, or that of ctx.
func (c *Client) Scan(ctx context.Context, r Request) (*Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Time, failed("the scanner %s was not done after %s", c.name, c.limits.Time))
	defer cancel()
	m, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	o, err := c.plan(m, r)
	if err != nil {
		return nil, err
	}
	id, err := c.post(ctx, o)
	if err != nil {
		return nil, err
	}
	out := newReport(r.Digest, c.limits.Findings)
	// The data may become newer while the scan runs, and then the report is taken for one with those before.
	out.Scan.Scanner, out.Scan.DatabaseAt = c.name, m.DatabaseAt()
	if o.vulnerabilities != "" {
		if err := c.fetch(ctx, id, o.vulnerabilities, "", out.readVulnerabilities); err != nil {
			return nil, err
		}
	}
	if o.content != "" {
		if err := c.fetch(ctx, id, o.content, "", out.readContent); err != nil {
			return nil, err
		}
	}
	for _, s := range o.sboms {
		if err := c.fetch(ctx, id, o.bill, s, func(r io.Reader) error { return out.readSBOM(r, s) }); err != nil {
			return nil, err
		}
	}
	out.settle()
	return out, nil
}

func (c *Client) post(ctx context.Context, o *order) (id string, err error) {
	body, err := json.Marshal(o.scanRequest)
	if err != nil {
		return "", err
	}
	status, said, err := c.call(ctx, http.MethodPost, "/api/v1/scan",
		http.Header{"Content-Type": {o.mediaType}, "Accept": {"application/vnd.scanner.adapter.scan.response+json; version=1.0"}}, body, maxAccepted)
	if err != nil {
		return "", err
	}
	if status != http.StatusAccepted {
		return "", c.said(status, said)
	}
	var accepted struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(said, &accepted); err != nil || accepted.ID == "" || len(accepted.ID) > 256 || clip(accepted.ID, 256) != accepted.ID {
		return "", failed("the scanner %s took a request of a scan and named none", c.name)
	}
	return accepted.ID, nil
}

// fetch waits for a report and has it read. An adapter that is not done answers 302, with where to ask, which is not looked at.
func (c *Client) fetch(ctx context.Context, id, mediaType, sbom string, read func(io.Reader) error) error {
	path := "/api/v1/scan/" + url.PathEscape(id) + "/report"
	if sbom != "" {
		path += "?sbom_media_type=" + url.QueryEscape(sbom)
	}
	for {
		again, err := c.fetchOnce(ctx, path, mediaType, read)
		if err != nil || again == 0 {
			return err
		}
		t := time.NewTimer(again)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

func (c *Client) fetchOnce(ctx context.Context, path, mediaType string, read func(io.Reader) error) (again time.Duration, err error) {
	within, cancel := context.WithTimeout(ctx, c.limits.Answer)
	defer cancel()
	answer, err := c.Do(within, http.MethodGet, path, http.Header{"Accept": {mediaType}}, http.NoBody)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		err := read(answer.Body)
		if err != nil && within.Err() != nil {
			return 0, c.unreachable(within, err)
		}
		return 0, err
	case http.StatusFound:
		return refreshAfter(answer.Header.Get("Refresh-After")), nil
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxAccepted))
	if err != nil {
		return 0, c.unreachable(within, err)
	}
	return 0, c.said(answer.StatusCode, said)
}

// refreshAfter is how long to wait before a report is asked for again: what the adapter says, within reason.
func refreshAfter(seconds string) time.Duration {
	n, err := strconv.Atoi(seconds)
	if err != nil {
		n = 2
	}
	return time.Duration(max(1, min(n, 30))) * time.Second
}

// said is what an adapter answered instead of what was asked for. Our adapter ends its sentences with a code.
func (c *Client) said(status int, body []byte) *Error {
	var failure struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &failure) // then there is a status
	e := failed("the scanner %s answered %d: %s", c.name, status, clip(failure.Error.Message, maxSentence))
	switch {
	case failure.Error.Message == "":
		e.Reason = fmt.Sprintf("the scanner %s answered %d and no sentence", c.name, status)
		fallthrough
	default:
		e.Final = status == http.StatusUnprocessableEntity || status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge
	case strings.HasSuffix(failure.Error.Message, "(hostile)"), strings.HasSuffix(failure.Error.Message, "(unsupported)"),
		strings.HasSuffix(failure.Error.Message, "(limit)"):
		e.Final = true
	}
	return e
}
