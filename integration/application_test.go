package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An application is what nginx and haproxy forward requests to. It notes how often it processed each order, and responds
// with the checksum of the body. It honors Idempotency-Key: an order with a key that it knows is not processed again.
type application struct {
	address string
	secure  bool // whether it speaks TLS
	server  *http.Server

	mu        sync.Mutex
	processed map[string]int
	keys      map[string]bool                  // of processed orders
	hook      atomic.Pointer[http.HandlerFunc] // is called before an order is processed; nil: none
	failures  atomic.Int64                     // how many of the next requests get a 503, and are not processed
}

// orderID is the header that identifies an order, however often it is sent.
const orderID = "Order-Id"

// startApplication returns an application that listens.
func startApplication(t *testing.T) *application {
	t.Helper()
	a := newApplication(t)
	a.start(t)
	return a
}

// startDirectApplication returns one that a client can call directly, by this protocol.
func startDirectApplication(t *testing.T, p protocol) *application {
	t.Helper()
	a := newApplication(t)
	a.secure = p.secure
	a.start(t)
	return a
}

// newApplication returns an application that does not listen yet.
func newApplication(t *testing.T) *application {
	t.Helper()
	a := &application{address: freeAddress(t), processed: make(map[string]int), keys: make(map[string]bool)}
	a.server = &http.Server{Handler: a, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: identity().serverConfig()}
	return a
}

func (a *application) start(t *testing.T) {
	t.Helper()
	listener := listen(t, a.address)
	go func() { _ = a.serve(listener) }() // returns once it is closed
	t.Cleanup(func() { _ = a.server.Close() })
}

func (a *application) serve(listener net.Listener) error {
	if a.secure {
		return a.server.ServeTLS(listener, "", "")
	}
	return a.server.Serve(listener)
}

// listen tries again while another process has the port.
func listen(t *testing.T, address string) (listener net.Listener) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		listener, err = net.Listen("tcp", address)
		return err == nil
	}, timeLimit, 10*time.Millisecond, "listening on %s", address)
	return listener
}

// setHook sets a function that is called before each order is processed.
func (a *application) setHook(hook http.HandlerFunc) { a.hook.Store(&hook) }

// failNext responds to the next requests with a 503, without reading them.
func (a *application) failNext(requests int64) { a.failures.Store(requests) }

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.failures.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		panic(http.ErrAbortHandler) // the body is not whole: nothing is processed
	}
	if hook := a.hook.Load(); hook != nil {
		(*hook)(w, r)
	}
	a.process(r.Header.Get(orderID), r.Header.Get("Idempotency-Key"))
	_, _ = io.WriteString(w, r.Method+" "+hex.EncodeToString(hash.Sum(nil)))
}

func (a *application) process(order, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key != "" && a.keys[key] {
		return
	}
	a.keys[key] = true
	a.processed[order]++
}

// timesProcessed is how often the order was processed.
func (a *application) timesProcessed(order string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.processed[order]
}

// checksum is what the application responds with.
func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
