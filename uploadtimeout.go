package steadyhttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// sendWithWriteTimeout ends an attempt of whose body nothing was taken for the limit, until there is a response.
func sendWithWriteTimeout(base http.RoundTripper, request *http.Request, limit time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	u := &upload{limit: limit, stall: func() { cancel(&writeTimeoutError{limit}) }}
	response, err := base.RoundTrip(u.watched(ctx, request))
	if u.settle() {
		closeBody(response)
		return nil, &writeTimeoutError{limit}
	}
	if needsContext(response) {
		holdContext(response, cancel)
	} else {
		cancel(nil)
	}
	return response, err
}

// An upload is a body on its way. Whoever sends it reads the next piece when the last one is written, so the time
// between is that of the write; the time within Read is the body's own.
type upload struct {
	limit time.Duration
	stall func()

	mu      sync.Mutex
	timer   *time.Timer
	waiting bool // for the next piece to be asked for
	stalled bool
	settled bool // nobody waits for the upload any more
}

// watched returns the request to send instead.
func (u *upload) watched(ctx context.Context, request *http.Request) *http.Request {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { u.pause() },
	})
	watched := request.WithContext(ctx)
	watched.Body = &uploadBody{request.Body, u}
	if open := request.GetBody; open != nil {
		watched.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &uploadBody{body, u}, nil
		}
	}
	return watched
}

// pause stops the clock: nothing is being written.
func (u *upload) pause() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = false
	if u.timer != nil {
		u.timer.Stop()
	}
}

// resume starts it: a piece is to be written.
func (u *upload) resume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.settled:
		return
	case u.timer == nil:
		u.timer = time.AfterFunc(u.limit, u.expire)
	default:
		u.timer.Reset(u.limit)
	}
	u.waiting = true
}

func (u *upload) expire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting { // the timer may have fired just before it was stopped
		u.waiting, u.stalled = false, true
		u.stall()
	}
}

// settle ends the watch, and reports whether the upload had stalled.
func (u *upload) settle() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.settled, u.waiting = true, false
	if u.timer != nil {
		u.timer.Stop()
	}
	return u.stalled
}

type uploadBody struct {
	io.ReadCloser
	upload *upload
}

// pieceLimit is how much is to be written within a limit at most, so that a slow network is no stalled one: 16 KiB,
// a frame of HTTP/2 and a record of TLS.
const pieceLimit = 16 << 10

func (b *uploadBody) Read(p []byte) (int, error) {
	b.upload.pause()
	n, err := b.ReadCloser.Read(p[:min(len(p), pieceLimit)])
	b.upload.resume()
	return n, err
}

func (b *uploadBody) Close() error {
	b.upload.pause()
	return b.ReadCloser.Close()
}

// upgrade lets go of a connection that becomes its user's, by a 101.
func upgrade(base http.RoundTripper, request *http.Request) (*http.Response, error) {
	var conn net.Conn
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { conn = got.Conn },
	})
	response, err := base.RoundTrip(request.WithContext(ctx))
	if response != nil && response.StatusCode == http.StatusSwitchingProtocols {
		release(conn)
	}
	return response, err
}

func release(conn net.Conn) {
	if bounded, ok := belowTLS(conn).(*writeTimeoutConn); ok {
		bounded.release()
	}
}

// belowTLS returns the connection below TLS, of which a proxy may add a layer.
func belowTLS(conn net.Conn) net.Conn {
	for secure, ok := conn.(*tls.Conn); ok; secure, ok = conn.(*tls.Conn) {
		conn = secure.NetConn()
	}
	return conn
}
