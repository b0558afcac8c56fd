package steadyhttptest_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A serverKind is one of the four kinds of servers. run runs its tests, in a bubble if it is a pipe server.
type serverKind struct {
	start func(...steadyhttptest.Step) *steadyhttptest.Server
	http2 bool
	run   func(*testing.T, func(*testing.T))
}

// inHTTP2Bubble runs a test in a bubble, where Go can do that for HTTP/2.
func inHTTP2Bubble(t *testing.T, test func(*testing.T)) {
	skipWithoutHTTP2InBubbles(t)
	synctest.Test(t, test)
}

// skipWithoutHTTP2InBubbles skips a test with Go 1.25: its net/http reuses channels of one bubble in another, which is
// a fatal error (https://go.dev/issue/75674).
func skipWithoutHTTP2InBubbles(t *testing.T) {
	t.Helper()
	if strings.HasPrefix(runtime.Version(), "go1.25") {
		t.Skip("go.dev/issue/75674: HTTP/2 in several bubbles needs Go 1.26")
	}
}

func real(t *testing.T, test func(*testing.T)) { test(t) }

var serverKinds = map[string]serverKind{
	"HTTP1 on loopback": {steadyhttptest.NewServer, false, real},
	"HTTP2 on loopback": {steadyhttptest.NewTLSServer, true, real},
	"HTTP1 on a pipe":   {steadyhttptest.NewPipeServer, false, synctest.Test},
	"HTTP2 on a pipe":   {steadyhttptest.NewTLSPipeServer, true, inHTTP2Bubble},
}

// forEachServerKind runs a test with every kind of server.
func forEachServerKind(t *testing.T, test func(t *testing.T, kind serverKind)) {
	for name, kind := range serverKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind.run(t, func(t *testing.T) { test(t, kind) })
		})
	}
}

// serve starts a server that is closed when the test ends.
func (k serverKind) serve(t *testing.T, steps ...steadyhttptest.Step) *steadyhttptest.Server {
	t.Helper()
	server := k.start(steps...)
	t.Cleanup(server.Close)
	return server
}

// cancelOnArrival cancels once this many attempts have arrived.
func cancelOnArrival(server *steadyhttptest.Server, attempts int, cancel func()) {
	for len(server.Attempts()) < attempts {
		time.Sleep(time.Millisecond)
	}
	cancel()
}
