package steadyhttptest

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A script hands out its steps in order, repeats the last one, and records the attempts. The zero value responds with 200
// to every attempt.
type script struct {
	mu      sync.Mutex
	steps   []Step
	played  int
	records []*record
}

// An Attempt is a request as it arrived, and the step that was played to it.
type Attempt struct {
	Time     time.Time     // when it arrived
	Method   string        // "" if a [Server] read no request, as for [Refused]; then all fields down to Request are zero
	URL      string        // absolute
	Header   http.Header   // a copy
	Body     []byte        // what was read of the body, at most the first MiB
	BodySize int64         // how many bytes were read of the body
	Request  *http.Request // the request itself; do not modify it
	Step     Step          // what was played
	Closed   int           // how often the response's body was closed; a [Server] cannot know that, and says 0
}

// bodyLimit bounds what is recorded of a body.
const bodyLimit = 1 << 20

// A record is an Attempt in progress. script.mu guards its fields.
type record struct {
	script *script
	Attempt
	hasBody bool // the response has a body, which must be closed
}

// Play replaces the steps that are left. It may be called at any time, for example to bring a server back that was down.
// The recorded attempts are kept.
func (s *script) Play(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps, s.played = slices.Clone(steps), 0
}

// Attempts returns the attempts so far, in the order of their arrival. It returns a copy, so more may arrive meanwhile.
func (s *script) Attempts() []Attempt { return s.attemptsAfter(0) }

// attemptsAfter leaves out the first n.
func (s *script) attemptsAfter(n int) []Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	attempts := make([]Attempt, 0, len(s.records)-n)
	for _, r := range s.records[n:] {
		a := r.Attempt
		a.Body = slices.Clone(a.Body)
		attempts = append(attempts, a)
	}
	return attempts
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// Waits returns the times between the attempts, from the arrival of one to the arrival of the next. Waits()[0] is the time
// between attempts 1 and 2.
func (s *script) Waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waits []time.Duration
	for i := 1; i < len(s.records); i++ {
		waits = append(waits, s.records[i].Time.Sub(s.records[i-1].Time))
	}
	return waits
}

// next records an attempt with the next step, and hands both out.
func (s *script) next(arrived Attempt) (*record, step.Behavior) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.add(arrived)
	return r, r.Step.Internal()
}

// nextAt hands out the next step if it acts at this stage: on a connection, before there is a request.
func (s *script) nextAt(at step.Stage) (step.Behavior, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	upcoming := s.peek().Internal()
	if upcoming.Stage != at {
		return step.Behavior{}, false
	}
	s.add(Attempt{})
	return upcoming, true
}

// nextBreaks reports whether the step of the next attempt breaks its connection.
func (s *script) nextBreaks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peek().Internal().Breaks
}

// add is called with s.mu held, so that the times are in order.
func (s *script) add(arrived Attempt) *record {
	arrived.Time, arrived.Step = time.Now(), s.peek()
	r := &record{script: s, Attempt: arrived}
	s.played++
	s.records = append(s.records, r)
	return r
}

// peek is called with s.mu held.
func (s *script) peek() Step {
	if len(s.steps) == 0 {
		return Response{}
	}
	if next := s.steps[min(s.played, len(s.steps)-1)]; next != nil {
		return next
	}
	return step.NilStep
}

// newAttempt returns what is known of a request when it arrives.
func newAttempt(request *http.Request, url string) Attempt {
	return Attempt{Method: methodOf(request), URL: url, Header: request.Header.Clone(), Request: request}
}

// methodOf knows that an empty method means GET.
func methodOf(request *http.Request) string {
	if request.Method == "" {
		return http.MethodGet
	}
	return request.Method
}

// addBody records a piece of the request's body.
func (r *record) addBody(piece []byte) {
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.BodySize += int64(len(piece))
	r.Body = append(r.Body, piece[:min(len(piece), bodyLimit-len(r.Body))]...)
}

// expectClose records that the response has a body, which must be closed.
func (r *record) expectClose() {
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.hasBody = true
}

// addClose records that the response's body was closed.
func (r *record) addClose() {
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.Closed++
}
