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

// An application is what the servers stand before. It notes how often it processed which order, and answers
// each with the checksum of what it received. It honours Idempotency-Key: an order that comes again by its key is
// answered, and not processed.
type application struct {
	address string
	secure  bool // whether it speaks TLS
	server  *http.Server

	mu        sync.Mutex
	processed map[string]int
	keys      map[string]bool                  // that were seen
	before    atomic.Pointer[http.HandlerFunc] // what happens to a request before it is processed; nil: nothing
	refusals  atomic.Int64                     // how many of the next requests are answered with a 503, and not processed
}

// orderID is the header that tells one order from another, however often it is sent.
const orderID = "Order-Id"

// deploy makes an application and starts it.
func deploy(t *testing.T) *application {
	t.Helper()
	a := build(t)
	a.start(t)
	return a
}

// deploySpeaking makes one that a client can talk to without a server before it.
func deploySpeaking(t *testing.T, p protocol) *application {
	t.Helper()
	a := build(t)
	a.secure = p.secure
	a.start(t)
	return a
}

// build makes an application that does not listen yet.
func build(t *testing.T) *application {
	t.Helper()
	a := &application{address: freeAddress(t), processed: make(map[string]int), keys: make(map[string]bool)}
	a.server = &http.Server{Handler: a, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: identity().serving()}
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

// listen tries again while somebody else on the machine has the port.
func listen(t *testing.T, address string) (listener net.Listener) {
	t.Helper()
	require.Eventually(t, func() (listening bool) {
		var err error
		listener, err = net.Listen("tcp", address)
		return err == nil
	}, patience, 10*time.Millisecond, "nobody can listen on %s", address)
	return listener
}

// firstly lets a handler deal with each request before it is processed.
func (a *application) firstly(handle http.HandlerFunc) { a.before.Store(&handle) }

// refuse answers the next requests with a 503, without reading them.
func (a *application) refuse(requests int64) { a.refusals.Store(requests) }

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.refusals.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		panic(http.ErrAbortHandler) // not all of the order came: nothing is processed
	}
	if handle := a.before.Load(); handle != nil {
		(*handle)(w, r)
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

func (a *application) times(order string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.processed[order]
}

// checksum is how the application answers.
func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
