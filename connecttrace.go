package steadyhttp

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"syscall"
)

// A connectTrace notes how an attempt came by its connection, or why it did not. A wrapper around net/http may hide
// the error of it, and the errors of hooks and dialers may be of any type; the steps are the same.
type connectTrace struct {
	*tracePlan

	mu        sync.Mutex
	asked     string // for a connection to this address, maybe a proxy's; empty: not yet
	dialing   bool   // and began to make one,
	connected bool   // which reached a peer,
	failed    bool   // or did not, by accident,
	refused   bool   // or one side refused TLS;
	got       bool   // it got one,
	conn      net.Conn
}

// traceSteps listens to the steps, where trouble is likely: before an origin has responded, after an error, and where
// requests may queue. Elsewhere it is not done, since net/http then costs a dozen allocations more.
func (c *connectTrace) traceSteps(hooks *httptrace.ClientTrace) {
	hooks.DNSStart = func(httptrace.DNSStartInfo) { c.beginDial() }
	hooks.DNSDone = func(done httptrace.DNSDoneInfo) { c.noteAccident(done.Err) }
	hooks.ConnectStart = func(string, string) { c.beginDial() }
	hooks.ConnectDone = func(_, _ string, err error) { c.connectDone(err) }
	hooks.TLSHandshakeStart = c.setDialing
	hooks.TLSHandshakeDone = func(_ tls.ConnectionState, err error) { c.handshakeDone(err) }
}

func (c *connectTrace) getConn(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = address
}

func (c *connectTrace) gotConn(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got, c.conn = true, conn
}

func (c *connectTrace) hasAsked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked != ""
}

// beginDial also notes that the dials of this base can be heard. That a TLS handshake can be says nothing of that.
func (c *connectTrace) beginDial() {
	c.base.dialsTraced.Store(true)
	c.setDialing()
}

func (c *connectTrace) setDialing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = true
}

func (c *connectTrace) connectDone(err error) {
	c.noteAccident(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = c.connected || err == nil
}

func (c *connectTrace) noteAccident(err error) {
	facts := factsOf(err)
	accident := facts.has(accidentFact) && !facts.has(permanentFact)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = c.failed || accident
}

func (c *connectTrace) handshakeDone(err error) {
	refused := err != nil && !isAccident(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = c.refused || refused
}

// flags is asked once the attempt has failed. ended says whether its context did.
func (c *connectTrace) flags(request *http.Request, err error, ended bool) traceFlags {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.got:
		return lostAlert(c.conn, err) | garbledRecord(err)
	case c.asked == "":
		return c.neverAsked(request)
	}
	flags := neverConnected
	if c.refused {
		flags |= handshakeRefused
	}
	if c.failed && !c.connected { // of several addresses, one was reached
		flags |= connectFailed
	}
	if isTunnel(request.URL, c.asked) && !c.base.hasConnectHooks() {
		flags |= tunneling
	}
	if (ended || isTimeout(err)) && c.traced && !c.dialing && c.base.mayQueue() {
		flags |= queued
	}
	return flags
}

// neverAsked is about a request that did not come so far as to ask net/http for a connection. Beside what
// unsendable knows, only an own Proxy function can keep it from that, or a transport that was registered for the
// scheme; one for http or https, beside an own Proxy function, would be a strange thing to have.
func (c *connectTrace) neverAsked(request *http.Request) traceFlags {
	if isHTTP(request.URL) && c.base.choosesProxies() {
		return proxyFuncFailed
	}
	return 0
}

// isTunnel reports whether the connection was to be one through a proxy: then net/http asks for the proxy's address
// (connectMethod.addr).
func isTunnel(target *url.URL, asked string) bool {
	if target.Scheme != "https" {
		return false
	}
	port := target.Port()
	if port == "" {
		port = "443"
	}
	return asked != net.JoinHostPort(target.Hostname(), port) && isASCII(target.Hostname()) // or else it was written by IDNA
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// lostAlert looks for an alert that net/http does not return. HTTP/2 does not if it comes before the first request
// (http2ClientConn.awaitOpenSlotForStreamLocked), and none does if writing the request fails at the same time. By TLS
// 1.3 that is how a server refuses a client's certificate. A tls.Conn repeats how reading ended; only one on which that
// is over is asked, since another one is others' to read from. An alert that was not read before the connection was
// closed is lost for good.
func lostAlert(conn net.Conn, err error) traceFlags {
	secure, ok := conn.(*tls.Conn)
	if !ok || !hasErrorText(err, errNotEstablished) && !isClosed(secure.NetConn()) {
		return 0
	}
	if _, alert := secure.Read(make([]byte, 1)); factsOf(alert).has(permanentFact) && garbledRecord(alert) == 0 {
		return handshakeRefused
	}
	return 0
}

// garbledRecord is asked of errors of connections that were established: what is no TLS there comes from a server or a network
// that broke, and from no port of another protocol.
func garbledRecord(err error) traceFlags {
	if err == nil {
		return 0
	}
	if header := (tls.RecordHeaderError{}); errors.As(err, &header) {
		return garbled
	}
	return 0
}

// isClosed reports whether a connection was closed on our side. One that is no socket does not tell.
func isClosed(conn net.Conn) bool {
	_, socket := conn.(syscall.Conn)
	return socket && !isOpen(conn)
}

// isOpen reports whether a connection is a socket that was not closed on our side.
func isOpen(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	return err == nil && raw.Control(func(uintptr) {}) == nil
}
