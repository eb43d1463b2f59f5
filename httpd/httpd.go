// Package httpd is the one HTTP front: it takes connections in, with or without TLS, and hands requests to
// the handler whose path they begin with.
//
// It owns what must hold for every page: bounds on connections, headers, bodies and time; header fields
// that keep a browser from doing more with a page than showing it; the end of connections when the node
// stops or hands its listener to the next configuration. Handlers come from package node and own all
// else, logins included. A handler may replace a header field that it finds set.
//
// It speaks HTTP/1.1. GET /healthz answers "ok" as long as connections are taken in.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"posthaste/wire"
)

// Bounds of a connection and a request.
const (
	maxHeaderBytes = 64 << 10 // of all header fields of a request
	maxBody        = 1 << 20  // of a request, where its route names no other
	headerTimeout  = 10 * time.Second
	readTimeout    = time.Minute // for a whole request
	writeTimeout   = time.Minute // for its answer
	idleTimeout    = time.Minute // between requests of one connection
	drainTime      = 10 * time.Second
)

// A Route gives the requests below a path to a handler.
type Route struct {
	Prefix  string // "/quarantine/"
	Handler http.Handler
	MaxBody int64 // bytes of a request's body; 0: 1 MiB
}

// Config is what a Server goes by.
type Config struct {
	Routes []Route
	TLS    *tls.Config // with ImplicitTLS
	// ImplicitTLS says that clients speak TLS from the first byte (https).
	ImplicitTLS bool

	MaxSessions int            // connections at once
	MaxPerIP    int            // of one IPv4 address or IPv6 /64
	Exempt      []netip.Prefix // clients without MaxPerIP
	Proxies     []netip.Prefix // who must begin with a PROXY header

	Log *slog.Logger // default: none
}

// A Server serves HTTP. It may serve several listeners.
type Server struct {
	cfg     Config
	handler http.Handler
}

// New returns a Server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		io.WriteString(w, "ok\n")
	})
	for _, r := range cfg.Routes {
		limit := r.MaxBody
		if limit <= 0 {
			limit = maxBody
		}
		mux.Handle(r.Prefix, http.MaxBytesHandler(r.Handler, limit))
	}
	return &Server{cfg, guarded(mux)}
}

// contentPolicy lets a page have a style sheet and forms of ours, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guarded sets on every answer what keeps browsers within bounds.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "no-referrer") // paths may hold what only their owner is to know
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// Serve answers clients of ln until ctx ends; requests that have begun are answered before it returns nil.
// When ln is handed over, connections end with the request that they are at.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	taken := &listener{addr: ln.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	web := &http.Server{
		Handler: s.handler, Protocols: protocols, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(taken) }()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		web.Shutdown(limited) // who is not done by then is cut off by the service
	})
	front := &wire.Service{
		Name: "httpd", MaxSessions: s.cfg.MaxSessions, MaxPerIP: s.cfg.MaxPerIP, Exempt: s.cfg.Exempt, Proxies: s.cfg.Proxies,
		DrainTime: drainTime, Session: func(drain, _ context.Context, nc net.Conn) { s.session(drain, taken, nc) },
		Refusal: s.refusal(), Log: s.cfg.Log,
	}
	err := front.Serve(ctx, &watched{ln, func() { web.SetKeepAlivesEnabled(false) }})
	if !stop() {
		<-drained
	}
	taken.Close()
	web.Close()
	if served := <-ended; err == nil && !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, net.ErrClosed) {
		err = served
	}
	return err
}

// session hands a connection to the HTTP server and returns when that has closed it.
func (s *Server) session(drain context.Context, to *listener, nc net.Conn) {
	c := &conn{Conn: nc, closed: make(chan struct{})}
	handed := net.Conn(c)
	if s.cfg.ImplicitTLS {
		handed = tls.Server(c, s.cfg.TLS)
	}
	select {
	case to.conns <- handed:
		<-c.closed
	case <-to.closed:
	case <-drain.Done():
	}
}

// refusal returns what a client hears that is turned away; with TLS it can hear nothing.
func (s *Server) refusal() func(string) string {
	if s.cfg.ImplicitTLS {
		return nil
	}
	return func(why string) string {
		return "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 60\r\nContent-Type: text/plain\r\n\r\n" + why + "\n"
	}
}
