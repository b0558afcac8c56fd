package steadyhttptest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// AssertAttempts fails the test unless so many attempts have arrived.
func (s *script) AssertAttempts(t testing.TB, want int) {
	t.Helper()
	attempts := s.Attempts()
	if len(attempts) != want {
		t.Errorf("steadyhttptest: got %s, want %d%s", plural(len(attempts), "attempt"), want, list(attempts))
	}
}

// AssertBody fails the test unless there were attempts, and each brought this body as a whole.
func (s *script) AssertBody(t testing.TB, want string) {
	t.Helper()
	attempts := s.Attempts()
	if len(attempts) == 0 {
		t.Errorf("steadyhttptest: got no attempt, want body %.100q", want)
	}
	for i, a := range attempts {
		if a.BodySize != int64(len(want)) || string(a.Body) != want[:min(len(want), bodyLimit)] {
			t.Errorf("steadyhttptest: attempt %d brought body %.100q, want %.100q%s", i+1, a.Body, want, list(attempts))
		}
	}
}

// AssertWait fails the test unless the time between an attempt and the next one is from least to most.
// Attempt 1 is the first.
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

// AssertClosed fails the test unless the body of every response has been closed: one that is not costs
// its connection. Call it when the code under test is done with all of them.
func (t *Transport) AssertClosed(tb testing.TB) {
	tb.Helper()
	attempts := t.Attempts()
	for i, left := range t.leftOpen() {
		if left {
			tb.Errorf("steadyhttptest: the body of the response to attempt %d was not closed%s", i+1, list(attempts))
		}
	}
}

// leftOpen tells of each attempt whether its response's body is still to be closed.
func (s *script) leftOpen() []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]bool, len(s.records))
	for i, r := range s.records {
		open[i] = r.open && r.Closed == 0
	}
	return open
}

const listed = 20

// list shows the attempts, a line for each.
func list(attempts []Attempt) string {
	var text strings.Builder
	for i, a := range attempts[:min(len(attempts), listed)] {
		fmt.Fprintf(&text, "\n\t%d. ", i+1)
		if i > 0 {
			fmt.Fprintf(&text, "after %v: ", a.Time.Sub(attempts[i-1].Time))
		}
		text.WriteString(a.String())
	}
	if more := len(attempts) - listed; more > 0 {
		fmt.Fprintf(&text, "\n\tand %d more", more)
	}
	return text.String()
}

// String tells the attempt in one line, such as "PUT https://api.example.com/things (7 bytes): 503". It
// shows the whole URL.
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
