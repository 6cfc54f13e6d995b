package web

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/hallmarkhub/hallmark/core"
)

// AccessLog writes one line for each request to its own stream, after the answer. Nothing secret is in a line: neither
// query nor headers, of which only the user agent is told.
func AccessLog(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			o := core.OriginFrom(r.Context())
			log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Int("status", rec.status()),
				slog.Int64("bytes", rec.bytes), slog.Int64("micros", time.Since(began).Microseconds()), slog.String("ip", o.IP),
				slog.String("request_id", o.RequestID), slog.String("who", rec.who), slog.String("agent", visible(cut(r.UserAgent(), 256))))
		}()
		next.ServeHTTP(rec, r)
	})
}

// NotePrincipal tells the access log who the request is from, once that is known.
func NotePrincipal(w http.ResponseWriter, p *core.Principal) {
	for {
		switch t := w.(type) {
		case *recorder:
			t.who = p.Name
			return
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return
		}
	}
}

// visible replaces what would do something to a terminal, or look like another line.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// recorder notes status and size. It passes ReadFrom on, so that files still go out by sendfile.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	who   string
}

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= 200 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
