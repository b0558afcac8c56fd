package steadyhttp

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// retryAfter returns how long the response asks to be left alone: the largest valid Retry-After
// (RFC 9110 §10.2.3), relative to the response's own Date where there is one that makes sense. Zero and
// the past mean now. It reports false when there is none, or none that makes sense. Only a Retry-After without such a Date
// needs the clock.
func retryAfter(response *http.Response, now func() time.Time) (time.Duration, bool) {
	if response == nil || len(response.Header.Values("Retry-After")) == 0 {
		return 0, false
	}
	received, ok := dateOf(response)
	if !ok {
		received = now()
	}
	longest, found := time.Duration(0), false
	for _, line := range response.Header.Values("Retry-After") {
		if wait, ok := parseRetryAfter(line, received); ok {
			longest, found = max(longest, wait), true
		}
	}
	return longest, found
}

// readRetryAfter notes once when the response, unless it is a Success, says to come back: by Retry-After, or by
// a hint. It reports whether a hint says so.
func (a *attempt) readRetryAfter(hints []Hint) (hinted bool) {
	return a.class != Success && !a.asked && a.response != nil && a.askWhen(hints)
}

func (a *attempt) askWhen(hints []Hint) (hinted bool) {
	a.asked = true
	a.retryAfter, a.saysWhen = retryAfter(a.response, time.Now)
	hint, ok := firstHint(hints, a.response)
	if ok && (!a.saysWhen || isMoreExact(hint, a.retryAfter)) {
		a.retryAfter, a.saysWhen = hint, true
	}
	return ok
}

// isMoreExact reports whether the hint says the same as a Retry-After that is rounded to whole seconds. Any other
// hint gives way to Retry-After (draft-ietf-httpapi-ratelimit-headers §4), which may be about another limit.
func isMoreExact(hint, retryAfter time.Duration) bool {
	return retryAfter%time.Second == 0 && (hint-retryAfter).Abs() < time.Second
}

func parseRetryAfter(line string, received time.Time) (time.Duration, bool) {
	line = strings.TrimSpace(line)
	if seconds, ok := parseSeconds(line); ok {
		return seconds, true
	}
	date, err := http.ParseTime(line)
	if err != nil {
		return 0, false
	}
	return max(0, date.Sub(received)), true
}

// parseSeconds reads delay-seconds, and the decimal fraction that some servers add. It saturates, as
// RFC 9111 §1.2.2 asks of an overflow, and rounds up: a wait is never shortened.
func parseSeconds(text string) (time.Duration, bool) {
	whole, fraction, decimal := strings.Cut(text, ".")
	if !isDigits(whole) || decimal && !isDigits(fraction) {
		return 0, false
	}
	wait := time.Duration(0)
	for _, digit := range whole {
		seconds := wait/time.Second*10 + time.Duration(digit-'0')
		if seconds >= math.MaxInt64/time.Second {
			return math.MaxInt64, true
		}
		wait = seconds * time.Second
	}
	return wait + parseFraction(fraction), true
}

func parseFraction(digits string) time.Duration {
	wait, unit := time.Duration(0), time.Second/10
	for _, digit := range digits {
		if unit == 0 && digit != '0' {
			return wait + 1
		}
		wait += time.Duration(digit-'0') * unit
		unit /= 10
	}
	return wait
}

func isDigits(text string) bool {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	return text != "" && !strings.ContainsFunc(text, notDigit)
}
