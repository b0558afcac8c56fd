package steadyhttptest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// A conn is the server's side of a connection, and does to it what only a connection can suffer. The
// HTTP that is spoken on it is net/http's.
type conn struct {
	net.Conn          // what HTTP is read from and written to: TLS, or
	raw      net.Conn // what is beneath it
	server   *Server
	opened   bool // whether anything was read
	http2    bool
	frames   *framer // of HTTP/2
}

func newConn(server *Server, under net.Conn) *conn {
	c := &conn{Conn: under, raw: under, server: server}
	if server.authority != nil {
		c.Conn = tls.Server(under, server.tlsConfig())
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

// Read strikes on the first bytes that come, if the script says so. HTTP/2 is known by its preface
// (RFC 9113 §3.4).
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 || c.opened {
		return n, err
	}
	c.opened = true
	c.http2 = strings.HasPrefix(string(p[:n]), "PRI")
	if c.server.strikes(opening) {
		c.reset()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if c.http2 {
		return c.frames.Write(p)
	}
	return c.Conn.Write(p)
}

// reset drops the connection with a TCP RST.
func (c *conn) reset() {
	switch raw := c.raw.(type) {
	case *net.TCPConn:
		_ = raw.SetLinger(0)
	case *pipe:
		raw.reset()
	}
	_ = c.raw.Close()
}

// say sends bytes past net/http.
func (c *conn) say(text string) { _, _ = c.Conn.Write([]byte(text)) }

func (c *conn) sayHalf(ctx context.Context) {
	if c.http2 {
		c.frames.put(ctx, halfHeadersFrame())
		return
	}
	c.say(halfHeader)
}

func (c *conn) goAway(ctx context.Context) {
	if c.http2 {
		c.frames.put(ctx, goAwayFrame())
	}
}

// retire has the client use another connection once this exchange is over.
func (c *conn) retire(w http.ResponseWriter, r *http.Request) {
	if !c.http2 {
		w.Header().Set("Connection", "close")
	}
	c.goAway(r.Context())
}

// refuseStream does not return.
func (c *conn) refuseStream(r *http.Request) {
	if !c.http2 {
		hangUp(r)
	}
	select {
	case c.frames.refused <- struct{}{}:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// hangUp closes the connection, and does not return. It waits for the client to do the same: to close
// what is not yet read would reset it.
func hangUp(r *http.Request) {
	c := connOf(r)
	for _, layer := range []net.Conn{c.Conn, c.raw} { // TLS says goodbye first
		if half, ok := layer.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}
