package steadyhttp

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRetryAfter_IsParsed(t *testing.T) {
	t.Parallel()
	received := time.Date(1994, time.November, 6, 8, 49, 0, 0, time.UTC)
	for line, want := range map[string]time.Duration{
		"0":                              0,
		"120":                            2 * time.Minute,
		"  7 ":                           7 * time.Second,
		"007":                            7 * time.Second,
		"0.25":                           250 * time.Millisecond,
		"64.57":                          64570 * time.Millisecond,
		"1.0000000001":                   time.Second + 1, // rounded up
		"1.0000000000":                   time.Second,
		"0.123456789":                    123456789,
		"9223372035":                     9223372035 * time.Second,
		"9223372036":                     math.MaxInt64,
		"9223372037":                     math.MaxInt64,
		"18446744073":                    math.MaxInt64,
		"99999999999999999999999999":     math.MaxInt64,
		"99999999999999999999999999.5":   math.MaxInt64,
		"Sun, 06 Nov 1994 08:49:37 GMT":  37 * time.Second,
		"Sunday, 06-Nov-94 08:49:37 GMT": 37 * time.Second,
		"Sun Nov  6 08:49:37 1994":       37 * time.Second,
		"Sun, 06 Nov 1994 08:48:37 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  math.MaxInt64,
	} {
		got, ok := parseRetryAfter(line, received)
		assert.True(t, ok, line)
		assert.Equal(t, want, got, line)
	}
}

func TestRetryAfter_InvalidCountsAsAbsent(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", " ", "-1", "/", "1:", "+5", "1e3", "NaN", "Inf", "0x10", "1_000", "1.", ".5", "1.2.3", "1,5", "5s", "soon", "1 2", "٣",
		"2026-11-22T00:00:00Z", "Sun, 06 Nov 1994 08:49:37 +0000",
	} {
		_, ok := parseRetryAfter(line, time.Now())
		assert.False(t, ok, line)
	}
}

func TestRetryAfter_IsRelativeToTheResponsesOwnDate(t *testing.T) {
	t.Parallel()
	response := &http.Response{Header: http.Header{
		"Date":        {"Sun, 06 Nov 1994 08:49:00 GMT"},
		"Retry-After": {"Sun, 06 Nov 1994 08:49:10 GMT"},
	}}
	wait, ok := retryAfter(response, time.Now)
	assert.True(t, ok)
	assert.Equal(t, 10*time.Second, wait)
	response.Header.Set("Date", "yesterday")
	wait, ok = retryAfter(response, time.Now)
	assert.True(t, ok)
	assert.Zero(t, wait)
}

// The Date of a clock that was never set, or of one that is broken, would make a wait of seconds "now", or decades.
func TestRetryAfter_DateThatIsNotOfOurDaysCountsAsAbsent(t *testing.T) {
	t.Parallel()
	received := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	for _, date := range []string{"Thu, 01 Jan 1970 00:16:40 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		response := &http.Response{Header: http.Header{"Date": {date}, "Retry-After": {"Sun, 01 Mar 2026 12:00:10 GMT"}}}
		wait, ok := retryAfter(response, received)
		assert.True(t, ok, date)
		assert.Equal(t, 10*time.Second, wait, date)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, line := range []string{"0", "1", "1.5", "9223372037", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "junk"} {
		f.Add(line)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, line string) {
		wait, ok := parseRetryAfter(line, now)
		if wait < 0 {
			t.Fatalf("%q: negative wait %v", line, wait)
		}
		if !ok && wait != 0 {
			t.Fatalf("%q: a wait of %v without a value", line, wait)
		}
		if again, _ := parseRetryAfter(" "+line+" ", now); ok && again != wait {
			t.Fatalf("%q: %v, but %v with spaces", line, wait, again)
		}
		if addJitter(wait) < wait {
			t.Fatalf("%q: jitter shortens %v", line, wait)
		}
	})
}

func TestRetryAfter_JitterIsNeverNegative(t *testing.T) {
	t.Parallel()
	assert.Zero(t, addJitter(0))
	for _, asked := range []time.Duration{1, 2, time.Second, time.Hour, math.MaxInt64 - 1, math.MaxInt64} {
		for range 100 {
			assert.GreaterOrEqual(t, addJitter(asked), asked, fmt.Sprint(asked))
		}
	}
}
