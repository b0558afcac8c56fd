package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// serve answers on a loopback port that the system picks, until it is stopped.
func serve(handler http.Handler) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: timeLimit}
	go func() { _ = server.Serve(listener) }() // returns once it is closed
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// A response is one line of a script.
type response struct {
	status     int
	retryAfter string
}

// A receivedRequest is what the server notes of a request.
type receivedRequest struct{ key, body string }

// A script is a handler that sends its responses in order, and repeats the last one.
type script struct {
	responses []response
	mu        sync.Mutex
	requests  []receivedRequest
}

func (s *script) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the client has gone
	}
	next := s.next(receivedRequest{key: request.Header.Get("Idempotency-Key"), body: string(body)})
	if next.retryAfter != "" {
		w.Header().Set("Retry-After", next.retryAfter)
	}
	w.WriteHeader(next.status)
}

func (s *script) next(request receivedRequest) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request)
	return s.responses[min(len(s.requests), len(s.responses))-1]
}

func (s *script) received() []receivedRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// A scriptedServer has one path, and one script, for each scenario.
type scriptedServer struct {
	http.ServeMux
	scripts []*script
}

func newScriptedServer(scenarios []scenario) *scriptedServer {
	server := &scriptedServer{}
	for i, s := range scenarios {
		server.scripts = append(server.scripts, &script{responses: s.responses})
		server.Handle(pathOf(i), server.scripts[i])
	}
	return server
}

func pathOf(i int) string { return fmt.Sprintf("/scenario/%d", i+1) }

// A failingServer responds to every request with a 503, until it is repaired.
type failingServer struct {
	requests atomic.Int64
	repaired atomic.Bool
}

// responseTime makes calls overlap: a server in trouble takes its time even to fail.
const responseTime = 50 * time.Millisecond

func (s *failingServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.requests.Add(1)
	if s.repaired.Load() {
		return
	}
	time.Sleep(responseTime)
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (s *failingServer) received() int { return int(s.requests.Load()) }
