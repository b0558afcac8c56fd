package main

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A trouble is how a server fails while it lasts. The zero trouble is health.
type trouble struct {
	refused     float64       // share of the attempts that are answered 503 at once
	hung        float64       // share of the attempts that are never answered
	badPath     bool          // one path of four is answered 503 at once, always
	capacity    float64       // share of the workers' speed that is left; 0 means all of it
	shedding    int           // queue length beyond which an attempt is answered 503 at once; 0: never
	delay       time.Duration // added to every response, outside the workers
	throttled   float64       // share of the attempts that are answered 429,
	limit       float64       // how many attempts a second are let in, the others answered 429; 0: all
	limitedPath bool          // a path that a tenth of the calls go to is answered 429, always
	retryAfter  int           // the 429's Retry-After in seconds
	cutOff      float64       // share of the clients that are refused; the others' calls are what the figures tell of
	restarting  bool          // each second, the connections of another tenth of the clients are refused for 0.3 s
}

// A model is a server with a queue: workers take the attempts in their order of arrival, and finish each
// one that they have begun or that waits, also if the caller has long gone.
type model struct {
	mu      sync.Mutex
	random  *rand.Rand
	begin   time.Time
	sick    func(client int, t trouble) bool // whether a client reaches nobody
	free    []time.Time                      // when each worker will have done all that is queued for it
	started []time.Time                      // when each attempt that waits will be begun; in order
	trouble func(since time.Duration) trouble
	seen    func(since time.Duration) // tells of an attempt
	limiter limiter

	service  time.Duration
	patience time.Duration
}

// attempt decides what becomes of one attempt: after how long which status, or an error.
func (m *model) attempt(client int, path string) (time.Duration, int, trouble, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	since := now.Sub(m.begin)
	t := m.trouble(since)
	if m.sick != nil && m.sick(client, t) {
		return time.Millisecond, http.StatusServiceUnavailable, t, nil
	}
	m.seen(since)
	switch chance := m.random.Float64(); {
	case t.restarting && restarts(client, since):
		return 0, 0, t, refusedDial
	case chance < t.refused, t.badPath && path == paths[0]:
		return time.Millisecond, http.StatusServiceUnavailable, t, nil
	case t.limitedPath && path == limitedPath, t.limit > 0 && !m.limiter.allows(now, t.limit):
		return time.Millisecond, http.StatusTooManyRequests, t, nil
	case chance < t.refused+t.hung:
		return never, 0, t, nil
	case chance < t.refused+t.hung+t.throttled:
		return time.Millisecond, http.StatusTooManyRequests, t, nil
	case t.shedding > 0 && m.queue(now) >= t.shedding:
		return time.Millisecond, http.StatusServiceUnavailable, t, nil
	}
	return m.enqueue(now) + t.delay, http.StatusOK, t, nil
}

// never is longer than anybody waits.
const never = time.Duration(math.MaxInt64)

// paths are what callers ask for, each as often as the others.
var paths = []string{"/0", "/1", "/2", "/3"}

// queue is how many attempts wait for a worker.
func (m *model) queue(now time.Time) int {
	begun := 0
	for begun < len(m.started) && !m.started[begun].After(now) {
		begun++
	}
	m.started = m.started[begun:]
	return len(m.started)
}

// enqueue gives the attempt to the worker that is free first.
func (m *model) enqueue(now time.Time) time.Duration {
	first := 0
	for i, free := range m.free {
		if free.Before(m.free[first]) {
			first = i
		}
	}
	start := m.free[first]
	if start.Before(now) {
		start = now
	}
	service := m.service
	if capacity := m.trouble(start.Sub(m.begin)).capacity; capacity > 0 { // by the time at which it is begun
		service = time.Duration(float64(service) / capacity)
	}
	m.queue(now)
	if start.After(now) {
		m.started = append(m.started, start)
	}
	m.free[first] = start.Add(service)
	return m.free[first].Sub(now)
}

// restarts reports whether the client's connections are refused now: its tenth of the fleet has its turn
// each tenth second, for 0.3 s.
func restarts(client int, since time.Duration) bool {
	second := int(since / time.Second)
	return client%10 == second%10 && since%time.Second < 300*time.Millisecond
}

var refusedDial = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

// A connection is one client's way to the model: a base transport that loses patience as http.Transport
// does by its ResponseHeaderTimeout.
type connection struct {
	*model
	client int
}

func (c connection) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
	wait, status, t, err := c.attempt(c.client, request.URL.Path)
	if err != nil {
		return nil, err
	}
	timeout := wait > c.patience
	timer := time.NewTimer(min(wait, c.patience))
	defer timer.Stop()
	select {
	case <-request.Context().Done():
		return nil, context.Cause(request.Context())
	case <-timer.C:
	}
	if timeout {
		return nil, headerTimeout{}
	}
	return answer(request, status, t), nil
}

func answer(request *http.Request, status int, t trouble) *http.Response {
	response := &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(http.NoBody), Request: request,
	}
	if status == http.StatusTooManyRequests {
		response.Header.Set("Retry-After", strconv.Itoa(t.retryAfter))
	}
	return response
}

// headerTimeout is to a client what http.Transport's own is.
type headerTimeout struct{}

func (headerTimeout) Error() string        { return "net/http: timeout awaiting response headers" }
func (headerTimeout) Timeout() bool        { return true }
func (headerTimeout) Temporary() bool      { return true }
func (headerTimeout) Is(target error) bool { return target == context.DeadlineExceeded }
