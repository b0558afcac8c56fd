package steadyhttptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A Server is a real HTTP server that plays a script, on loopback or at the other end of a pipe. It speaks HTTP/1.1, and
// HTTP/2 with clients that ask for it, by TLS or by prior knowledge.
//
// A step is for the next request, or for the next connection if the step acts before there is a request. net/http retries
// by itself what a reused connection loses. To prevent that, the Server closes the connection after the response that
// precedes a fault. This works only if the attempts come one after the other: for concurrent callers, use responses only.
type Server struct {
	URL string // of the server's root, without a trailing slash

	script
	listener  listener
	authority *network.Authority // nil: no TLS
	http      http.Server
	client    *http.Client
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	mu        sync.Mutex
	closed    bool           // guarded by mu
	running   sync.WaitGroup // Serve, connections, requests
}

// NewServer starts a server on a free port of the loopback interface. Close it when done.
//
// It panics if there is no such port, as [net/http/httptest.NewServer] does.
func NewServer(steps ...Step) *Server { return start(must(newLoopback()), nil, steps) }

// NewTLSServer starts a server on loopback that speaks TLS, and HTTP/2 over it. [Server.Client] trusts its certificate;
// for other clients there is [Server.Certificate]. It panics as [NewServer] does.
func NewTLSServer(steps ...Step) *Server {
	return start(must(newLoopback()), must(network.NewAuthority("steadyhttptest")), steps)
}

// NewPipeServer starts a server in memory. Only [Server.Client] and [Server.DialContext] reach it. Its URL is
// http://example.com.
//
// It works in a [testing/synctest] bubble, in virtual time: start it inside the bubble, and close it before the bubble
// ends.
func NewPipeServer(steps ...Step) *Server { return start(newPipes(), nil, steps) }

// NewTLSPipeServer starts a server in memory that speaks TLS, and HTTP/2 over it; see [NewPipeServer]. Its URL is
// https://example.com.
//
// In bubbles it needs Go 1.26: net/http of Go 1.25 reuses channels of one bubble in another, which ends the test
// process (https://go.dev/issue/75674).
func NewTLSPipeServer(steps ...Step) *Server {
	return start(newPipes(), must(network.NewAuthority("steadyhttptest")), steps)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("steadyhttptest: cannot start a server: %v", err))
	}
	return value
}

func start(l listener, authority *network.Authority, steps []Step) *Server {
	s := &Server{listener: l, authority: authority}
	s.URL = s.scheme() + s.host()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.script.Play(steps...)
	s.client = &http.Client{Transport: s.newTransport()}
	s.http = http.Server{
		Handler:     http.HandlerFunc(s.handle),
		Protocols:   &http.Protocols{},
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return c.(*conn).inContext(ctx) },
		ConnState:   s.trackConn,
		ErrorLog:    log.New(io.Discard, "", 0), // scripts cause errors on purpose
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true) // net/http sees no TLS: it is below the connection that it gets
	s.running.Go(func() { _ = s.http.Serve(connListener{l, s}) })
	return s
}

func (s *Server) scheme() string {
	if s.authority != nil {
		return "https://"
	}
	return "http://"
}

func (s *Server) host() string {
	if _, ok := s.listener.(*pipes); ok {
		return "example.com"
	}
	return s.listener.Addr().String()
}

func (s *Server) newTransport() *http.Transport {
	transport := &http.Transport{DialContext: s.DialContext, ForceAttemptHTTP2: s.authority != nil}
	if s.authority != nil {
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return transport
}

// A connListener is the listener as net/http's server gets it: its connections are conns.
type connListener struct {
	net.Listener
	server *Server
}

func (l connListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(l.server, raw), nil
}

// Client returns a client that sends every request to this server, whatever the host, and that trusts its certificate.
//
// Its Transport is an [*http.Transport], which may be changed before its first use. [Server.Close] closes its idle
// connections.
func (s *Server) Client() *http.Client { return s.client }

// Certificate returns the certificate of the authority that issues the server's certificates; nil without TLS.
func (s *Server) Certificate() *x509.Certificate {
	if s.authority == nil {
		return nil
	}
	return s.authority.Certificate
}

// DialContext connects to this server, whatever the address. It fails if the next step is a [Fault] that prevents a
// connection. Use it as [http.Transport.DialContext].
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if behavior, ok := s.nextAt(step.AtDial); ok {
		return nil, s.refuse(ctx, behavior, addr)
	}
	return s.listener.dial(ctx)
}

func (s *Server) refuse(ctx context.Context, behavior step.Behavior, addr string) error {
	_, err := behavior.Play((&http.Request{URL: &url.URL{Host: addr}}).WithContext(ctx))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return s.listener.refuse(ctx)
	}
	return err
}

// Play replaces the steps that are left. It may be called at any time. The recorded attempts are kept. The client's idle
// connections are closed, since the new steps may begin with a fault.
func (s *Server) Play(steps ...Step) {
	s.script.Play(steps...)
	s.client.CloseIdleConnections()
}

// Close ends the server: its port, its connections, the requests in progress, and its client's idle connections. It
// returns once everything that the server started has ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	_ = s.http.Close()
	s.client.CloseIdleConnections()
	s.running.Wait()
}

// trackConn is http.Server's ConnState.
func (s *Server) trackConn(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.running.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.running.Done()
	}
}

// trackRequest reports whether the request may go on. A request is tracked besides its connection, since one of HTTP/2
// may outlive it.
func (s *Server) trackRequest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.trackRequest() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	s.serve(w, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	attempt, behavior := s.next(newAttempt(r, s.scheme()+r.Host+r.URL.RequestURI()))
	if !behavior.Breaks && s.nextBreaks() {
		c.closeAfterResponse(w, r)
	}
	body := step.NewRequestBody(r.Body, attempt.addBody)
	if behavior.Stage == step.AtBody && body.Drain(r.Context()) != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = body
	behavior.Serve(w, r, c)
}

// failsAt takes the next step if it acts at this stage of a connection, and waits if the step is delayed.
func (s *Server) failsAt(at step.Stage) bool {
	behavior, ok := s.nextAt(at)
	if ok {
		_, _ = behavior.Play((&http.Request{URL: &url.URL{}}).WithContext(s.ctx))
	}
	return ok
}

// tlsConfig issues a certificate for every host name that a client asks for.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if s.failsAt(step.AtHandshake) {
				return network.UntrustedCertificate(hello.ServerName)
			}
			return s.authority.Issue(hello.ServerName)
		},
	}
}
