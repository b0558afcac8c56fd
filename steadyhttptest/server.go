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
)

// A Server is a real HTTP server that plays a script, on loopback or at the other end of a pipe. It
// speaks HTTP/1.1, and HTTP/2 with those that ask for it: by TLS, or by prior knowledge.
//
// A step is for the next request that arrives, or for the next connection if it strikes before there is
// a request. So that net/http does not resend by itself what a used connection lost, the connection is
// closed after the answer that precedes a fault. For that to do, the attempts must come one after the
// other; a script for many at once had better have answers only.
type Server struct {
	URL string // of the server's root, without a slash at its end

	script
	wire      wire
	authority *authority // nil: no TLS
	http      http.Server
	client    *http.Client
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	mu        sync.Mutex
	closed    bool
	running   sync.WaitGroup
}

// NewServer starts a server on a free port of the loopback interface. Close it when done.
//
// It panics if there is no such port, as [net/http/httptest.NewServer] does.
func NewServer(steps ...Step) *Server { return start(must(newLoopback()), nil, steps) }

// NewTLSServer starts a server on loopback that speaks TLS, and HTTP/2 over it. [Server.Client] trusts
// it; for other clients there is [Server.Certificate]. It panics as NewServer does.
func NewTLSServer(steps ...Step) *Server {
	return start(must(newLoopback()), must(newAuthority("steadyhttptest")), steps)
}

// NewPipeServer starts a server in memory. Only [Server.Client] and [Server.DialContext] reach it.
//
// Started within a [testing/synctest] bubble, it works there, and time is virtual. Close it before the
// bubble ends. Its URL is http://example.com.
func NewPipeServer(steps ...Step) *Server { return start(newPipes(), nil, steps) }

// NewTLSPipeServer starts a server in memory that speaks TLS, and HTTP/2 over it; see [NewPipeServer].
// Its URL is https://example.com.
func NewTLSPipeServer(steps ...Step) *Server {
	return start(newPipes(), must(newAuthority("steadyhttptest")), steps)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("steadyhttptest: cannot start a server: %v", err))
	}
	return value
}

func start(w wire, trusted *authority, steps []Step) *Server {
	s := &Server{wire: w, authority: trusted}
	s.URL = "http://" + s.host()
	if trusted != nil {
		s.URL = "https://" + s.host()
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.script.Play(steps...)
	s.client = &http.Client{Transport: s.newTransport()}
	s.http = http.Server{
		Handler:     http.HandlerFunc(s.handle),
		Protocols:   &http.Protocols{},
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return c.(*conn).inContext(ctx) },
		ConnState:   s.track,
		ErrorLog:    log.New(io.Discard, "", 0), // of what a script does on purpose
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true) // net/http sees no TLS: it is beneath what it gets
	s.running.Go(func() { _ = s.http.Serve(accepting{w, s}) })
	return s
}

func (s *Server) host() string {
	if _, ok := s.wire.(*pipes); ok {
		return "example.com"
	}
	return s.wire.Addr().String()
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

// accepting is the wire as net/http's server gets it.
type accepting struct {
	net.Listener
	server *Server
}

func (a accepting) Accept() (net.Conn, error) {
	under, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(a.server, under), nil
}

// Client returns a client that sends everything to this server, whatever its host, and that trusts its
// certificate. It is closed with the server. Its Transport is an [*http.Transport], which may be changed
// before its first use.
func (s *Server) Client() *http.Client { return s.client }

// Certificate returns the certificate of the authority that issues the server's; nil without TLS.
func (s *Server) Certificate() *x509.Certificate {
	if s.authority == nil {
		return nil
	}
	return s.authority.certificate
}

// DialContext connects to this server, whatever the address, unless the next step is a [Fault] that lets
// nobody connect. It is for [http.Transport.DialContext].
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if step, ok := s.takeAt(dialing); ok {
		return nil, s.refuse(ctx, step, addr)
	}
	return s.wire.dial(ctx)
}

func (s *Server) refuse(ctx context.Context, step Step, addr string) error {
	_, err := step.play((&http.Request{URL: &url.URL{Host: addr}}).WithContext(ctx))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return s.wire.refuse(ctx)
	}
	return err
}

// Play replaces the steps that are left, as a Transport's Play does, and closes the client's idle
// connections, since the new steps may begin with a fault.
func (s *Server) Play(steps ...Step) {
	s.script.Play(steps...)
	s.client.CloseIdleConnections()
}

// Close ends the server: its port, its connections, what hangs and stalls, and its client's idle
// connections. It returns once all is gone that the server has started.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	_ = s.http.Close()
	s.client.CloseIdleConnections()
	s.running.Wait()
}

// track counts the connections that are being served.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.running.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.running.Done()
	}
}

// enter counts a request, since one of HTTP/2 may outlive its connection.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	s.serve(w, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	arrived := s.take(arrival(r, s.scheme()+r.Host+r.URL.RequestURI()))
	if !arrived.Step.breaks() && s.upcoming().breaks() {
		c.retire(w, r)
	}
	sent := &sentBody{body: r.Body, record: arrived}
	if arrived.Step.stage() == answering && sent.drain(r.Context()) != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = sent
	arrived.Step.serve(w, r)
}

func (s *Server) scheme() string {
	if s.authority != nil {
		return "https://"
	}
	return "http://"
}

// strikes takes the next step if it strikes a connection so early, and waits if that is delayed.
func (s *Server) strikes(at stage) bool {
	step, ok := s.takeAt(at)
	if ok {
		_, _ = step.play((&http.Request{URL: &url.URL{}}).WithContext(s.ctx))
	}
	return ok
}

// tlsConfig issues a certificate for whatever name is asked for.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !s.strikes(securing) {
				return s.authority.issue(hello.ServerName)
			}
			stranger, err := newAuthority("nobody")
			if err != nil {
				return nil, err
			}
			return stranger.issue(hello.ServerName)
		},
	}
}
