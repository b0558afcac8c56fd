package steadyhttptest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A conn is the server's side of a connection. net/http speaks HTTP on it; the conn adds what only a connection can do.
type conn struct {
	net.Conn          // what HTTP is read from and written to: TLS, or raw itself
	raw      net.Conn // what is below TLS
	server   *Server
	began    bool // something was read
	http2    bool
	opened   bool           // a request was seen
	requests requestScanner // of HTTP/2
	frames   *framer        // of HTTP/2
}

func newConn(server *Server, raw net.Conn) *conn {
	c := &conn{Conn: raw, raw: raw, server: server}
	if server.authority != nil {
		c.Conn = tls.Server(raw, server.tlsConfig())
	}
	c.frames = newFramer(c.Conn)
	return c
}

type connKey struct{}

// inContext is http.Server's ConnContext.
func (c *conn) inContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(r *http.Request) *conn { return r.Context().Value(connKey{}).(*conn) }

// Read resets the connection at the first request's first bytes, if the script says so.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 || c.opened {
		return n, err
	}
	c.opened = c.requestBegins(p[:n])
	if c.opened && c.server.failsAt(step.AtFirstByte) {
		c.Reset()
		return 0, net.ErrClosed
	}
	return n, err
}

// requestBegins reports whether a request has begun in these bytes, the next of the connection. It knows HTTP/2 by its
// preface (RFC 9113 §3.4), which a client sends before it has a request: reset there, net/http would not have sent one.
func (c *conn) requestBegins(next []byte) bool {
	if !c.began {
		c.began = true
		c.http2 = strings.HasPrefix(string(next), "PRI")
	}
	return !c.http2 || c.requests.scan(next)
}

func (c *conn) Write(p []byte) (int, error) {
	if c.http2 {
		return c.frames.Write(p)
	}
	return c.Conn.Write(p)
}

// Reset fulfils step.Conn.
func (c *conn) Reset() {
	switch raw := c.raw.(type) {
	case *net.TCPConn:
		_ = raw.SetLinger(0)
	case *pipe:
		raw.reset()
	}
	_ = c.raw.Close()
}

// Send fulfils step.Conn.
func (c *conn) Send(text string) { _, _ = c.Conn.Write([]byte(text)) }

// SendHalfHeader fulfils step.Conn.
func (c *conn) SendHalfHeader(ctx context.Context) {
	if c.http2 {
		c.frames.send(ctx, halfHeadersFrame())
		return
	}
	c.Send(step.HalfHeader)
}

// GoAway fulfils step.Conn.
func (c *conn) GoAway(ctx context.Context) {
	if c.http2 {
		c.frames.send(ctx, goAwayFrame())
	}
}

// closeAfterResponse makes the client use another connection for its next request.
func (c *conn) closeAfterResponse(w http.ResponseWriter, r *http.Request) {
	if !c.http2 {
		w.Header().Set("Connection", "close")
	}
	c.GoAway(r.Context())
}

// RefuseStream fulfils step.Conn.
func (c *conn) RefuseStream(r *http.Request) {
	if !c.http2 {
		c.HangUp(r)
	}
	select {
	case c.frames.refused <- struct{}{}:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// HangUp fulfils step.Conn. It waits until the client has closed its side too: if we closed before everything was read,
// TCP would reset the connection.
func (c *conn) HangUp(r *http.Request) {
	for _, layer := range []net.Conn{c.Conn, c.raw} { // TLS sends its close_notify first
		if half, ok := layer.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}
