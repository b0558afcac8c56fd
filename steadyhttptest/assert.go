package steadyhttptest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// AssertAttempts fails the test unless this many attempts have arrived.
func (s *script) AssertAttempts(t testing.TB, want int) {
	t.Helper()
	attempts := s.Attempts()
	if len(attempts) != want {
		t.Errorf("steadyhttptest: got %s, want %d%s", plural(len(attempts), "attempt"), want, list(attempts))
	}
}

// AssertBody fails the test unless there was an attempt and every attempt had exactly this body.
func (s *script) AssertBody(t testing.TB, want string) {
	t.Helper()
	attempts := s.Attempts()
	if len(attempts) == 0 {
		t.Errorf("steadyhttptest: got no attempt, want body %.100q", want)
	}
	for i, a := range attempts {
		if a.BodySize != int64(len(want)) || string(a.Body) != want[:min(len(want), bodyLimit)] {
			t.Errorf("steadyhttptest: attempt %d had body %.100q, want %.100q%s", i+1, a.Body, want, list(attempts))
		}
	}
}

// AssertWait fails the test unless the wait after an attempt was between least and most. The wait is the time between the
// arrivals of this attempt and the next. The first attempt is 1.
func (s *script) AssertWait(t testing.TB, attempt int, least, most time.Duration) {
	t.Helper()
	attempts, waits := s.Attempts(), s.Waits()
	if attempt < 1 || attempt > len(waits) {
		t.Errorf("steadyhttptest: no attempt came after attempt %d, want one after %v to %v%s", attempt, least, most, list(attempts))
		return
	}
	if wait := waits[attempt-1]; wait < least || wait > most {
		t.Errorf("steadyhttptest: the wait after attempt %d was %v, want %v to %v%s", attempt, wait, least, most, list(attempts))
	}
}

// AssertClosed fails the test unless the body of every response was closed. An open body keeps its connection from being
// reused. Call AssertClosed when the code under test is done with all responses.
func (t *Transport) AssertClosed(tb testing.TB) {
	tb.Helper()
	attempts := t.Attempts()
	for i, open := range t.unclosed() {
		if open {
			tb.Errorf("steadyhttptest: the body of the response to attempt %d was not closed%s", i+1, list(attempts))
		}
	}
}

// unclosed returns, for each attempt, whether its response has a body that was not closed.
func (s *script) unclosed() []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]bool, len(s.records))
	for i, r := range s.records {
		open[i] = r.hasBody && r.Closed == 0
	}
	return open
}

// listLimit bounds how many attempts a failure shows.
const listLimit = 20

// list describes the attempts, one a line.
func list(attempts []Attempt) string {
	var text strings.Builder
	for i, a := range attempts[:min(len(attempts), listLimit)] {
		fmt.Fprintf(&text, "\n\t%d. ", i+1)
		if i > 0 {
			fmt.Fprintf(&text, "after %v: ", a.Time.Sub(attempts[i-1].Time))
		}
		text.WriteString(a.String())
	}
	if more := len(attempts) - listLimit; more > 0 {
		fmt.Fprintf(&text, "\n\tand %d more", more)
	}
	return text.String()
}

// String describes the attempt in one line, such as "PUT https://api.example.com/things (7 bytes): 503". It shows the
// whole URL, secrets included.
func (a Attempt) String() string {
	what := "a connection"
	if a.Method != "" {
		what = a.Method + " " + a.URL
	}
	if a.BodySize > 0 {
		what += fmt.Sprintf(" (%s)", plural(int(a.BodySize), "byte"))
	}
	if a.Step == nil {
		return what
	}
	return what + ": " + a.Step.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
