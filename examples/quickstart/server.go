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
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }() // returns once it is closed
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// An answer is one line of a script.
type answer struct {
	status     int
	retryAfter string
}

// An arrival is what the server notes of a request.
type arrival struct{ key, body string }

// A script is a handler that gives its answers in order, and repeats the last one.
type script struct {
	answers  []answer
	mu       sync.Mutex
	arrivals []arrival
}

func (s *script) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the client has gone
	}
	next := s.next(arrival{key: request.Header.Get("Idempotency-Key"), body: string(body)})
	if next.retryAfter != "" {
		w.Header().Set("Retry-After", next.retryAfter)
	}
	w.WriteHeader(next.status)
}

func (s *script) next(arrived arrival) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals = append(s.arrivals, arrived)
	return s.answers[min(len(s.arrivals), len(s.answers))-1]
}

func (s *script) seen() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals)
}

// A scriptedService has one path, and one script, for each scenario.
type scriptedService struct {
	http.ServeMux
	scripts []*script
}

func newScriptedService(scenarios []scenario) *scriptedService {
	service := &scriptedService{}
	for i, s := range scenarios {
		service.scripts = append(service.scripts, &script{answers: s.answers})
		service.Handle(pathOf(i), service.scripts[i])
	}
	return service
}

func pathOf(i int) string { return fmt.Sprintf("/scenario/%d", i+1) }

// A failingService answers every request with a 503, until it is repaired.
type failingService struct {
	requests atomic.Int64
	repaired atomic.Bool
}

// slowness is what makes calls overlap: a service in trouble takes its time even to fail.
const slowness = 50 * time.Millisecond

func (s *failingService) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.requests.Add(1)
	if s.repaired.Load() {
		return
	}
	time.Sleep(slowness)
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (s *failingService) seen() int { return int(s.requests.Load()) }
