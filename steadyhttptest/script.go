package steadyhttptest

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A script hands out its steps in order, repeats the last one, and writes down who came for them. The
// zero value answers 200 for ever.
type script struct {
	mu      sync.Mutex
	steps   []Step
	played  int
	records []*record
}

// An Attempt is a request as it arrived, and the step that it was for.
type Attempt struct {
	Time     time.Time     // when it arrived
	Method   string        // "" where a [Server] read no request, as for [Refused]; so with all down to Request
	URL      string        // absolute
	Header   http.Header   // a copy
	Body     []byte        // what was read of it, at most the first MiB
	BodySize int64         // how much was read of it
	Request  *http.Request // what it was, not to be modified
	Step     Step          // what was played
	Closed   int           // how often the response's body was closed; a [Server] cannot know, and says 0
}

// bodyLimit bounds what is remembered of a body.
const bodyLimit = 1 << 20

// A record is an Attempt that is still under way. The script's lock guards it.
type record struct {
	script *script
	Attempt
	open bool // whether its response has a body to be closed
}

// Play replaces the steps that are left. It may be called at any time: a server that was down comes
// back. What was recorded stays.
func (s *script) Play(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps, s.played = slices.Clone(steps), 0
}

// Attempts returns what has arrived so far, in order. It is a copy, to be looked at while more arrive.
func (s *script) Attempts() []Attempt { return s.after(0) }

// after leaves out the first n.
func (s *script) after(n int) []Attempt {
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

// Waits returns the times between the attempts, each from one's arrival to the next one's. The first is
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

// take hands out the next step to what arrived.
func (s *script) take(arrived Attempt) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begin(arrived)
}

// takeAt hands out the next step to a connection, if the step strikes so early.
func (s *script) takeAt(at stage) (Step, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next().stage() != at {
		return nil, false
	}
	return s.begin(Attempt{}).Step, true
}

// begin is called with the lock held, so that the times are in order.
func (s *script) begin(arrived Attempt) *record {
	arrived.Time, arrived.Step = time.Now(), s.next()
	r := &record{script: s, Attempt: arrived}
	s.played++
	s.records = append(s.records, r)
	return r
}

// next is called with the lock held.
func (s *script) next() Step {
	if len(s.steps) == 0 {
		return Answer{}
	}
	return orInvalid(s.steps[min(s.played, len(s.steps)-1)])
}

// upcoming returns the step that the next attempt will be for.
func (s *script) upcoming() Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next()
}

// arrival is what a request tells on its arrival.
func arrival(request *http.Request, url string) Attempt {
	return Attempt{Method: methodOf(request), URL: url, Header: request.Header.Clone(), Request: request}
}

// methodOf spells out that an empty method is GET.
func methodOf(request *http.Request) string {
	if request.Method == "" {
		return http.MethodGet
	}
	return request.Method
}

// read notes a piece of the request's body. Without a record, as in an Injector, nothing is noted.
func (r *record) read(piece []byte) {
	if r == nil {
		return
	}
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.BodySize += int64(len(piece))
	r.Body = append(r.Body, piece[:min(len(piece), bodyLimit-len(r.Body))]...)
}

// answered notes that there is a body to be closed, and closed that it was.
func (r *record) answered() {
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.open = true
}

func (r *record) closed() {
	r.script.mu.Lock()
	defer r.script.mu.Unlock()
	r.Closed++
}
