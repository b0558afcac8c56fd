package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

func printTitle(out io.Writer, number int, title string) {
	fmt.Fprintf(out, "\n%d  %s\n\n", number, title)
}

// printAttempts shows one line for each attempt of a call.
func printAttempts(out io.Writer, report *steadyhttp.Report) {
	const row = "   %-10s%-28s%-15s%9s   %9s\n"
	fmt.Fprintf(out, row, "attempt", "response", "class", "took", "waited")
	for i, attempt := range report.Attempts {
		waited := "–"
		if attempt.Wait > 0 {
			waited = readable(attempt.Wait)
		}
		fmt.Fprintf(out, row, fmt.Sprint(i+1), responseOf(attempt), attempt.Class, readable(attempt.Duration), waited)
	}
}

func responseOf(attempt steadyhttp.Attempt) string {
	if attempt.Err != nil {
		return attempt.Err.Error()
	}
	return fmt.Sprintf("%d %s", attempt.StatusCode, http.StatusText(attempt.StatusCode))
}

func printResult(out io.Writer, response *http.Response, report *steadyhttp.Report, received int) {
	fmt.Fprintf(out, "\n   the caller got %s · stopped: %s · the server received %s\n",
		response.Status, report.Stopped, count(received, "request"))
}

// printExplanation explains what happened, or says that something else did.
func printExplanation(out io.Writer, failure error, explanation string) {
	mark, text := "✓", explanation
	if failure != nil {
		mark, text = "✗", "NOT AS DESCRIBED: "+failure.Error()
	}
	for _, line := range wrap(text, lineWidth) {
		fmt.Fprintf(out, " %s %s\n", mark, line)
		mark = " "
	}
}

const lineWidth = 78

// wrap breaks a text between words into lines of at most width letters, where words allow.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line+" "+word)) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// A timeline shows what happened when, and how many requests the server had received by then. It is safe for
// concurrent use.
type timeline struct {
	mu       sync.Mutex
	out      io.Writer
	received func() int
	start    time.Time
}

const timelineRow = "   %-9s%-67s%8s\n"

func newTimeline(out io.Writer, received func() int) *timeline {
	fmt.Fprintf(out, timelineRow, "time", "what happened", "requests")
	return &timeline{out: out, received: received, start: time.Now()}
}

func (t *timeline) add(format string, values ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := fmt.Sprintf("%.2f s", time.Since(t.start).Seconds())
	fmt.Fprintf(t.out, timelineRow, since, fmt.Sprintf(format, values...), fmt.Sprint(t.received()))
}

// readable keeps as many digits of a duration as a reader wants.
func readable(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
