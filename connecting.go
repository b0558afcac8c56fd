package steadyhttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
)

// A connecting notes how an attempt came by its connection, or why it did not. A wrapper around net/http may hide
// the error of it, and the errors of hooks and dialers may be of any type; the steps are the same.
type connecting struct {
	base      *baseInfo
	asked     atomic.Pointer[string] // for a connection to this address, maybe a proxy's,
	dialing   atomic.Bool            // and began to make one,
	connected atomic.Bool            // which reached a peer,
	failed    atomic.Bool            // or did not, by accident,
	refused   atomic.Bool            // or one side refused TLS;
	got       atomic.Pointer[net.Conn]
}

func (c *connecting) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { c.dial() },
		DNSDone:           func(done httptrace.DNSDoneInfo) { c.noteAccident(done.Err) },
		ConnectStart:      func(string, string) { c.dial() },
		ConnectDone:       func(_, _ string, err error) { c.connectDone(err) },
		TLSHandshakeStart: func() { c.dialing.Store(true) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { c.handshakeDone(err) },
	}
}

func (c *connecting) getConn(address string) { c.asked.Store(&address) }

func (c *connecting) gotConn(got httptrace.GotConnInfo) { c.got.Store(&got.Conn) }

func (c *connecting) dial() {
	c.dialing.Store(true)
	if !c.base.audible.Load() {
		c.base.audible.Store(true)
	}
}

func (c *connecting) connectDone(err error) {
	if err == nil {
		c.connected.Store(true)
	}
	c.noteAccident(err)
}

func (c *connecting) handshakeDone(err error) {
	if err != nil && !isAccident(err) {
		c.refused.Store(true)
	}
}

func (c *connecting) noteAccident(err error) {
	if isAccident(err) && !isPermanent(err) {
		c.failed.Store(true)
	}
}

// flags is asked once the attempt has failed. ended says whether its context did.
func (c *connecting) flags(request *http.Request, err error, ended bool) traceFlags {
	if got := c.got.Load(); got != nil {
		return lostAlert(*got, err)
	}
	asked := c.asked.Load()
	if asked == nil {
		return c.neverAsked(request)
	}
	flags := neverConnected
	if c.refused.Load() {
		flags |= handshakeRefused
	}
	if c.failed.Load() && !c.connected.Load() { // of several addresses, one was reached
		flags |= connectFailed
	}
	if isTunnel(request.URL, *asked) && !c.base.hasConnectHooks() {
		flags |= tunneling
	}
	if (ended || isTimeout(err)) && !c.dialing.Load() && c.base.mayQueue() {
		flags |= queued
	}
	return flags
}

// neverAsked is about a request that did not come so far as to ask net/http for a connection. Beside what
// unsendable knows, only an own Proxy function can keep it from that, or a transport that was registered for the
// scheme; one for http or https, beside an own Proxy function, would be a strange thing to have.
func (c *connecting) neverAsked(request *http.Request) traceFlags {
	if isHTTP(request.URL) && c.base.choosesProxies() {
		return proxyUnchosen
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
	return asked != net.JoinHostPort(target.Hostname(), port) && isASCII(target.Hostname()) // or else it was spelt by IDNA
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
	if _, alert := secure.Read(make([]byte, 1)); isTLSAlert(alert) {
		return handshakeRefused
	}
	return 0
}

// isClosed reports whether a connection was closed on our side. One that is no socket does not tell.
func isClosed(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}
