package main

import (
	"log/slog"
	"net/http"
	"time"
)

// How long a listener waits. There is no ReadTimeout and no WriteTimeout, because both would count a whole request, and a
// large blob takes hours on a slow line: registry/server sets deadlines of its own, by rate, while it reads a body or sends
// one, and those replace what is set here.
const (
	headerTime = 5 * time.Second  // for the headers of a request, from its first byte
	idleTime   = 2 * time.Minute  // between two requests of a connection
	bodyTime   = 30 * time.Second // for the body of a request
	bodyGrace  = time.Second      // for what a handler left of the body
	drainTime  = 30 * time.Second // for requests in flight, after the hub was asked to stop
)

// server makes the server of one listener; headerBytes is 0 for net/http's own limit.
func (s *servers) server(h http.Handler, headerBytes int) *http.Server {
	srv := &http.Server{
		Handler: bounded(h), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
	s.list = append(s.list, srv)
	return srv
}

// bounded keeps a client from holding a connection by a body that does not end. The handler's own reading is bounded; and
// before net/http answers it reads up to 256 KiB of what the handler left, which is everything if it refused the request.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
		next.ServeHTTP(w, r)
		_ = rc.SetReadDeadline(time.Now().Add(bodyGrace))
	})
}
