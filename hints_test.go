package steadyhttp_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// absent is what a hint that does not know says.
const absent = time.Duration(-1)

func asked(hint steadyhttp.Hint, response *http.Response) time.Duration {
	wait, ok := hint(response)
	if !ok {
		return absent
	}
	return wait
}

// message is a response with header fields, one a line as they are sent, and perhaps a body after an empty line.
func message(code int, text string) *http.Response {
	fields, content, _ := strings.Cut(text, "\n\n")
	header := http.Header{}
	for line := range strings.Lines(fields) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		header.Add(name, strings.TrimSpace(value))
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(content))}
}

// What servers send, by their own documentation. The Date is ours, where theirs has none.
var throttlings = []struct {
	name, source string
	code         int
	text         string
	milliseconds time.Duration // what the hints say
	rateLimit    time.Duration
	github       time.Duration
}{
	{
		name:   "GitHub, primary limit",
		source: "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api",
		code:   403,
		text: `Date: Tue, 20 Aug 2013 14:50:41 GMT
			X-GitHub-Request-Id: C0DE:1
			Content-Type: application/json; charset=utf-8
			X-RateLimit-Limit: 60
			X-RateLimit-Remaining: 0
			X-RateLimit-Used: 60
			X-RateLimit-Reset: 1377013266`,
		milliseconds: absent, rateLimit: absent, github: 3025 * time.Second,
	},
	{
		name:   "GitHub, primary limit by 429",
		source: "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api",
		code:   429,
		text: `Date: Tue, 20 Aug 2013 15:40:41 GMT
			X-RateLimit-Remaining: 0
			X-RateLimit-Reset: 1377013266`,
		milliseconds: absent, rateLimit: 25 * time.Second, github: 25 * time.Second,
	},
	{
		name:   "GitHub, secondary limit that says when",
		source: "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits",
		code:   403,
		text: `Date: Tue, 20 Aug 2013 14:50:41 GMT
			X-RateLimit-Remaining: 4712
			X-RateLimit-Reset: 1377013266
			Retry-After: 47`,
		milliseconds: absent, rateLimit: absent, github: 47 * time.Second,
	},
	{
		name:   "GitHub, secondary limit that says so in its body alone",
		source: "https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#rate-limit-errors",
		code:   403,
		text: `X-GitHub-Request-Id: C0DE:2
			Content-Type: application/json; charset=utf-8
			X-RateLimit-Remaining: 4712
			X-RateLimit-Reset: 1377013266

			{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`,
		milliseconds: absent, rateLimit: absent, github: time.Minute,
	},
	{
		name:   "GitHub, secondary limit by a bare 429",
		source: "https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately",
		code:   429,
		text: `X-RateLimit-Remaining: 4712
			X-RateLimit-Reset: 1377013266`,
		milliseconds: absent, rateLimit: absent, github: time.Minute,
	},
	{
		name:   "GitHub, a permission that is missing",
		source: "https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible",
		code:   403,
		text: `X-GitHub-Request-Id: C0DE:3
			Content-Type: application/json; charset=utf-8
			X-RateLimit-Remaining: 4712
			X-RateLimit-Reset: 1377013266

			{"message": "Resource not accessible by integration"}`,
		milliseconds: absent, rateLimit: absent, github: absent,
	},
	{
		name:   "OpenAI",
		source: "https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers; Retry-After-Ms by openai-go's requestconfig",
		code:   429,
		text: `Retry-After: 1
			Retry-After-Ms: 553
			X-RateLimit-Limit-Requests: 60
			X-RateLimit-Remaining-Requests: 0
			X-RateLimit-Remaining-Tokens: 149984
			X-RateLimit-Reset-Requests: 1s
			X-RateLimit-Reset-Tokens: 6m0s`,
		milliseconds: 553 * time.Millisecond, rateLimit: absent, github: time.Second,
	},
	{
		name:   "Anthropic",
		source: "https://docs.anthropic.com/en/api/rate-limits#response-headers",
		code:   429,
		text: `Retry-After: 60
			Anthropic-RateLimit-Requests-Limit: 50
			Anthropic-RateLimit-Requests-Remaining: 0
			Anthropic-RateLimit-Requests-Reset: 2025-10-25T12:00:00Z`,
		milliseconds: absent, rateLimit: absent, github: time.Minute,
	},
	{
		name:   "Azure Cosmos DB",
		source: "https://learn.microsoft.com/en-us/rest/api/cosmos-db/common-cosmosdb-rest-response-headers",
		code:   429, text: "x-ms-retry-after-ms: 100",
		milliseconds: 100 * time.Millisecond, rateLimit: absent, github: time.Minute,
	},
	{
		name:   "Azure OpenAI",
		source: "https://learn.microsoft.com/en-us/azure/ai-services/openai/how-to/provisioned-get-started",
		code:   429,
		text: `Retry-After-Ms: 24500
			Retry-After: 25`,
		milliseconds: 24500 * time.Millisecond, rateLimit: absent, github: 25 * time.Second,
	},
	{
		name:   "Auth0",
		source: "https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy",
		code:   429,
		text: `Date: Tue, 20 Aug 2013 15:41:00 GMT
			X-RateLimit-Limit: 10
			X-RateLimit-Remaining: 0
			X-RateLimit-Reset: 1377013266`,
		milliseconds: absent, rateLimit: 6 * time.Second, github: 6 * time.Second,
	},
	{
		name:   "Akamai",
		source: "https://techdocs.akamai.com/adaptive-media-delivery/reference/rate-limiting",
		code:   429,
		text: `Date: Tue, 13 May 2025 14:28:17 GMT
			X-RateLimit-Limit: 60
			X-RateLimit-Remaining: 0
			X-RateLimit-Next: 2025-05-13T14:28:19.473Z`,
		milliseconds: absent, rateLimit: absent, github: time.Minute, // ExampleWithHints_akamai reads it
	},
	{
		name:   "GitLab, which sends a Unix time where the draft has seconds",
		source: "https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers",
		code:   429,
		text: `Date: Thu, 30 Jan 2020 14:14:17 GMT
			RateLimit-Limit: 600
			RateLimit-Observed: 600
			RateLimit-Remaining: 0
			RateLimit-Reset: 1580393717`,
		milliseconds: absent, rateLimit: time.Minute, github: time.Minute,
	},
	{
		name:   "X",
		source: "https://developer.x.com/en/docs/x-api/rate-limits",
		code:   429,
		text: `Date: Thu, 30 Jan 2020 14:14:17 GMT
			X-Rate-Limit-Limit: 15
			X-Rate-Limit-Remaining: 0
			X-Rate-Limit-Reset: 1580393717`,
		milliseconds: absent, rateLimit: time.Minute, github: time.Minute,
	},
	{
		name:   "OpenRouter, a Unix time in milliseconds",
		source: "https://openrouter.ai/docs/api-reference/limits",
		code:   429,
		text: `Date: Thu, 06 Mar 2025 23:59:58 GMT
			X-RateLimit-Limit: 50
			X-RateLimit-Remaining: 0
			X-RateLimit-Reset: 1741305600123`,
		milliseconds: absent, rateLimit: 2123 * time.Millisecond, github: 2123 * time.Millisecond,
	},
	{
		name:   "Reddit, seconds",
		source: "https://support.reddithelp.com/hc/en-us/articles/16160319875092-Reddit-Data-API-Wiki",
		code:   429,
		text: `X-Ratelimit-Used: 600
			X-Ratelimit-Remaining: 0.0
			X-Ratelimit-Reset: 77`,
		milliseconds: absent, rateLimit: 77 * time.Second, github: 77 * time.Second,
	},
	{
		name:   "Vimeo, a date",
		source: "https://developer.vimeo.com/guidelines/rate-limiting",
		code:   429,
		text: `Date: Fri, 20 Jan 2023 08:02:00 GMT
			X-RateLimit-Remaining: 0
			X-RateLimit-Reset: Fri, 20 Jan 2023 08:03:00 GMT`,
		milliseconds: absent, rateLimit: time.Minute, github: time.Minute,
	},
	{
		name:   "the IETF's draft, versions 0 to 6",
		source: "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-06",
		code:   429,
		text: `RateLimit-Limit: 10, 10;w=60
			RateLimit-Remaining: 0
			RateLimit-Reset: 50`,
		milliseconds: absent, rateLimit: 50 * time.Second, github: time.Minute,
	},
	{
		name:   "the IETF's draft, version 7",
		source: "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-07",
		code:   429, text: "RateLimit: limit=10, remaining=0, reset=50",
		milliseconds: absent, rateLimit: 50 * time.Second, github: time.Minute,
	},
	{
		name:   "the IETF's draft, from version 8",
		source: "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10",
		code:   429,
		text: `RateLimit-Policy: "default";q=100;w=30
			RateLimit: "default";r=0;t=30`,
		milliseconds: absent, rateLimit: 30 * time.Second, github: time.Minute,
	},
	{
		name:   "the IETF's draft, several policies and lines",
		source: "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10",
		code:   429,
		text: `RateLimit: "second";r=0;t=1, "day";r=100;t=36000;pk=:cHsdsRa894==:
			RateLimit: "a \"minute\", or; r=0";r=0;t=12`,
		milliseconds: absent, rateLimit: 12 * time.Second, github: time.Minute,
	},
	{
		name:   "the IETF's draft, a policy that leaves out what remains",
		source: "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10",
		code:   429, text: `RateLimit: quota;t=1`,
		milliseconds: absent, rateLimit: time.Second, github: time.Minute,
	},
	{
		name:   "Stripe, which says no more than whether",
		source: "https://docs.stripe.com/error-low-level; Stripe-Should-Retry by stripe-go's shouldRetry",
		code:   409, text: "Stripe-Should-Retry: true",
		milliseconds: absent, rateLimit: absent, github: absent,
	},
}

func TestHints_OfServersAsTheyAreDocumented(t *testing.T) {
	t.Parallel()
	for _, c := range throttlings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response := message(c.code, c.text)
			assert.Equal(t, c.milliseconds, asked(steadyhttp.HintMilliseconds, response), "HintMilliseconds")
			assert.Equal(t, c.rateLimit, asked(steadyhttp.HintRateLimit, response), "HintRateLimit")
			assert.Equal(t, c.github, asked(steadyhttp.HintGitHub, response), "HintGitHub")
		})
	}
}

func TestHints_LeaveTheBodyAsItWas(t *testing.T) {
	t.Parallel()
	for _, c := range throttlings {
		_, want, _ := strings.Cut(c.text, "\n\n")
		response := message(c.code, c.text)
		asked(steadyhttp.HintGitHub, response)
		got, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, want, string(got), c.name)
	}
}

func TestHints_ReadNoBodyButThatOfGitHubs403(t *testing.T) {
	t.Parallel()
	github := "X-GitHub-Request-Id: 1\nContent-Type: application/json"
	for _, c := range []struct {
		code int
		text string
	}{
		{403, "Content-Type: application/json"},
		{403, "X-GitHub-Request-Id: 1\nContent-Type: text/html"},
		{403, github + "\nRetry-After: 1"},
		{403, github + "\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9"},
		{429, github},
		{404, github},
		{200, github},
	} {
		response := message(c.code, c.text)
		response.Body = io.NopCloser(panickingReader{})
		asked(steadyhttp.HintGitHub, response)
		asked(steadyhttp.HintRateLimit, response)
		asked(steadyhttp.HintMilliseconds, response)
	}
}

func TestHints_OfNoResponseAreAbsent(t *testing.T) {
	t.Parallel()
	for _, hint := range []steadyhttp.Hint{steadyhttp.HintMilliseconds, steadyhttp.HintRateLimit, steadyhttp.HintGitHub} {
		assert.Equal(t, absent, asked(hint, nil))
		assert.Equal(t, absent, asked(hint, &http.Response{StatusCode: 403}))
	}
}

func TestHintMilliseconds_Values(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]time.Duration{
		"0":                   0,
		"1":                   time.Millisecond,
		" 1500 ":              1500 * time.Millisecond,
		"0.25":                250 * time.Microsecond,
		"0.0000001":           1, // rounded up
		"9223372035":          9223372035 * time.Millisecond,
		"9223372035999":       9223372035999 * time.Millisecond,
		"9223372036855":       math.MaxInt64,
		"9223372036854775807": math.MaxInt64,
		"1e3":                 absent,
		"-1":                  absent,
		"":                    absent,
		"00:00:00.033":        absent,
		"1s":                  absent,
	} {
		for _, name := range []string{"Retry-After-Ms", "x-ms-retry-after-ms"} {
			assert.Equal(t, want, asked(steadyhttp.HintMilliseconds, message(503, name+": "+line)), "%s: %s", name, line)
		}
	}
	several := "Retry-After-Ms: 7\nRetry-After-Ms: junk\nX-Ms-Retry-After-Ms: 9\nRetry-After-Ms: 8"
	assert.Equal(t, 9*time.Millisecond, asked(steadyhttp.HintMilliseconds, message(429, several)))
}

func TestHintRateLimit_TellsATimeFromSeconds(t *testing.T) {
	t.Parallel()
	const date = "Date: Thu, 06 Mar 2025 23:59:58 GMT\n" // 1741305598
	for reset, want := range map[string]time.Duration{
		"0":                              0,
		"1":                              time.Second,
		"0.65":                           650 * time.Millisecond,
		"0000000005":                     5 * time.Second,
		"870652799":                      870652799 * time.Second, // half of the way from 1970 to Date
		"870652800":                      0,
		"1741305600":                     2 * time.Second,
		"1741305600.25":                  2250 * time.Millisecond,
		"1741305598":                     0,
		"1741305000":                     0,
		"3482611195":                     1741305597 * time.Second, // the last but one that is a time of our days
		"3482611196":                     3482611196 * time.Second,
		"17413056000":                    math.MaxInt64, // neither
		"1741305600123":                  2123 * time.Millisecond,
		"1741305600123.5":                2123500 * time.Microsecond,
		"1741305598000":                  0,
		"870652799000":                   math.MaxInt64,
		"870652800000":                   0,
		"1741305600123456":               math.MaxInt64,
		"99999999999999999999999999":     math.MaxInt64,
		"2025-03-07T00:00:00Z":           2 * time.Second,
		"2025-03-07T01:00:00.5+01:00":    2500 * time.Millisecond,
		"Fri, 07 Mar 2025 00:00:00 GMT":  2 * time.Second,
		"Thu, 06 Mar 2025 00:00:00 GMT":  0,
		"9999-12-31T23:59:59Z":           math.MaxInt64,
		"0001-01-01T00:00:00Z":           0,
		"":                               absent,
		"-1":                             absent,
		"1741305600123.":                 absent,
		"1741305600.":                    absent,
		"soon":                           absent,
		"6m0s":                           absent,
		"1e9":                            absent,
		"0x10":                           absent,
		"NaN":                            absent,
		"Tue Feb 16 2021 09:02:42 GMT+1": absent,
	} {
		for _, name := range []string{"RateLimit", "X-RateLimit", "x-rate-limit"} {
			response := message(429, date+name+"-Remaining: 0\n"+name+"-Reset: "+reset)
			assert.Equal(t, want, asked(steadyhttp.HintRateLimit, response), "%s-Reset: %s", name, reset)
		}
	}
}

func TestHintRateLimit_SaysNothingOfAQuotaThatIsNotUsedUp(t *testing.T) {
	t.Parallel()
	for remaining, used := range map[string]bool{
		"0": true, "00": true, "0.0": true, "-1": true, "-3.5": true, " 0 ": true,
		"1": false, "0.5": false, "100": false, "junk": false, "NaN": false, "-Inf": false, "-": false, "--1": false, "0x0": false,
	} {
		want := absent
		if used {
			want = 5 * time.Second
		}
		for _, code := range []int{429, 503, 500, 200} {
			got := asked(steadyhttp.HintRateLimit, message(code, "X-RateLimit-Reset: 5\nX-RateLimit-Remaining: "+remaining))
			assert.Equal(t, want, got, "%d, remaining: %s", code, remaining)
		}
	}
}

// What a quota of 429s is about goes without saying; a 503's header fields may be of a quota that is well.
func TestHintRateLimit_WhatRemainsGoesWithoutSayingOnlyFor429(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]time.Duration{429: 5 * time.Second, 503: absent, 500: absent, 200: absent} {
		assert.Equal(t, want, asked(steadyhttp.HintRateLimit, message(code, "X-RateLimit-Reset: 5")), code)
		assert.Equal(t, want, asked(steadyhttp.HintRateLimit, message(code, "RateLimit: quota;t=5")), code)
	}
}

// Servers send what remains with every response: a 404 may be the last one that the quota paid for.
func TestHintRateLimit_SaysNothingOfAnother4xx(t *testing.T) {
	t.Parallel()
	for code := 400; code < 500; code++ {
		if code != http.StatusTooManyRequests {
			assert.Equal(t, absent, asked(steadyhttp.HintRateLimit, message(code, "X-RateLimit-Reset: 5\nX-RateLimit-Remaining: 0")), code)
		}
	}
}

func TestHintRateLimit_OfSeveralQuotasTheLongestCounts(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]time.Duration{
		`RateLimit: "a";r=0;t=1,"b";r=0;t=3,"c";r=0;t=2`: 3 * time.Second,
		`RateLimit: "a";r=0;t=1,"b";r=9;t=3`:             time.Second,
		`RateLimit: "a";r=9;t=1,"b";r=9;t=3`:             absent,
		`RateLimit: "a";t=7;r=0`:                         7 * time.Second,
		`RateLimit: "a";r=0`:                             absent,
		`RateLimit: "a" ; r=0 ; t=7`:                     7 * time.Second,
		`RateLimit: "a;r=0;t=7`:                          absent, // the quote does not end
		`RateLimit: "a\";r=0;t=7"`:                       absent,
		`RateLimit: a;rr=0;tt=7`:                         absent,
		`RateLimit: limit=5,remaining=0,reset=7`:         7 * time.Second,
		`RateLimit: reset=7, remaining=0`:                7 * time.Second,
		`RateLimit: limit=5, remaining=1, reset=7`:       absent,
		`RateLimit: `:                                    absent,
		`RateLimit: ,;=,;;`:                              absent,
		`RateLimit: limit=5, remaining=0, reset=7, limit=9, remaining=4, reset=1`:                    7 * time.Second, // two in one
		`RateLimit: reset=7, remaining=0, reset=1, remaining=4`:                                      7 * time.Second,
		"RateLimit-Remaining: 0\nRateLimit-Reset: 4\nX-RateLimit-Remaining: 3\nX-RateLimit-Reset: 9": 4 * time.Second,
		"RateLimit-Remaining: 0\nRateLimit-Reset: 4\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9": 9 * time.Second,
		"RateLimit-Remaining: 0\nRateLimit-Reset: x\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9": 9 * time.Second,
		// A server and a proxy may each send lines of their own.
		"RateLimit: limit=5, remaining=0, reset=7\nRateLimit: limit=9, remaining=0, reset=1":              7 * time.Second,
		"RateLimit: limit=5, remaining=0, reset=7\nRateLimit: limit=9, remaining=4, reset=1":              7 * time.Second,
		"RateLimit: limit=5\nRateLimit: remaining=3\nRateLimit: reset=7":                                  absent,
		"X-RateLimit-Reset: 5\nX-RateLimit-Reset: 60":                                                     time.Minute,
		"X-RateLimit-Reset: soon\nX-RateLimit-Reset: 60":                                                  time.Minute,
		"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 5\nX-RateLimit-Reset: 60":                           time.Minute,
		"X-RateLimit-Remaining: 7\nX-RateLimit-Reset: 5\nX-RateLimit-Reset: 60":                           absent,
		"X-RateLimit-Remaining: 7\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 60\nX-RateLimit-Reset: 5": 5 * time.Second,
		"X-RateLimit-Remaining: 0\nX-RateLimit-Remaining: 7\nX-RateLimit-Reset: 60\nX-RateLimit-Reset: 5": time.Minute,
	} {
		assert.Equal(t, want, asked(steadyhttp.HintRateLimit, message(429, fields)), fields)
	}
}

// net/http lets 10 MiB of header through.
func TestHintRateLimit_ThatIsTooLongIsJunk(t *testing.T) {
	t.Parallel()
	for padding, valid := range map[int]bool{0: true, 8000: true, 10 << 20: false} {
		response := newResponse(429, nil, "RateLimit", `"default";r=0;t=30`+strings.Repeat(",", padding))
		wait, ok := steadyhttp.HintRateLimit(response)
		assert.Equal(t, valid, ok, "%d more octets", padding)
		assert.Equal(t, valid, wait == 30*time.Second)
	}
}

// A client whose clock runs ahead must not come back early: what counts is the server's own Date.
func TestHints_CountFromTheServersOwnDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond)
		for _, reset := range []string{"946684805", "946684805000", "2000-01-01T00:00:05Z"} { // five seconds after the bubble's beginning
			limit := "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + reset
			assert.Equal(t, 15*time.Second, asked(steadyhttp.HintRateLimit, message(429, "Date: Fri, 31 Dec 1999 23:59:50 GMT\n"+limit)))
			assert.Equal(t, 5*time.Second, asked(steadyhttp.HintRateLimit, message(429, limit)), "without a Date, to the second, and rather too long")
			assert.Equal(t, 5*time.Second, asked(steadyhttp.HintRateLimit, message(429, "Date: junk\n"+limit)))
		}
	})
}

// A Date without sense, of a server that has lost its clock say, tells neither a time from seconds nor when it was.
func TestHints_DateThatIsNotOfOurDaysCountsAsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, date := range []string{
			"Thu, 01 Jan 1970 00:16:40 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
			"Sun, 01 Jan 2240 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
		} {
			for reset, want := range map[string]time.Duration{
				"5":                    5 * time.Second,
				"600":                  10 * time.Minute,
				"946684805":            5 * time.Second, // after the bubble's beginning
				"946684805000":         5 * time.Second,
				"2000-01-01T00:00:05Z": 5 * time.Second,
			} {
				text := "Date: " + date + "\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + reset
				assert.Equal(t, want, asked(steadyhttp.HintRateLimit, message(429, text)), text)
				assert.Equal(t, want, asked(steadyhttp.HintGitHub, message(403, text)), text)
			}
		}
	})
}

func FuzzHints(f *testing.F) {
	for _, c := range throttlings {
		f.Add(c.code, c.text)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		hints := map[string]steadyhttp.Hint{
			"HintMilliseconds": steadyhttp.HintMilliseconds, "HintRateLimit": steadyhttp.HintRateLimit, "HintGitHub": steadyhttp.HintGitHub,
		}
		for name, hint := range hints {
			wait, ok := hint(message(code, text))
			if wait < 0 || !ok && wait != 0 {
				t.Errorf("%s says %v, %v", name, wait, ok)
			}
			if again, same := hint(message(code, text)); again-wait > time.Second || wait-again > time.Second || same != ok {
				t.Errorf("%s says %v, %v, and then %v, %v", name, wait, ok, again, same)
			}
		}
	})
}

func hintOf(wait time.Duration) steadyhttp.Hint {
	return func(*http.Response) (time.Duration, bool) { return wait, true }
}

func noHint(*http.Response) (time.Duration, bool) { return 0, false }

func TestHints_ThrottledPostIsRetriedAtTheTimeTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hints     []steadyhttp.Hint
		throttled steadyhttptest.Response
		wait      time.Duration
	}{
		"a 429 in milliseconds":     {[]steadyhttp.Hint{steadyhttp.HintMilliseconds}, status(429, "Retry-After-Ms", "2500"), 2500 * time.Millisecond},
		"a 429 by the draft":        {[]steadyhttp.Hint{steadyhttp.HintRateLimit}, status(429, "RateLimit", `"default";r=0;t=30`), 30 * time.Second},
		"a 429 until a Unix time":   {[]steadyhttp.Hint{steadyhttp.HintRateLimit}, status(429, "X-RateLimit-Reset", "946684830"), 30 * time.Second},
		"GitHub's 403":              {[]steadyhttp.Hint{steadyhttp.HintGitHub}, status(403, "Retry-After", "7"), 7 * time.Second},
		"any 4xx that a hint knows": {[]steadyhttp.Hint{hintOf(4 * time.Second)}, status(404), 4 * time.Second},
		"the first hint that knows": {[]steadyhttp.Hint{noHint, hintOf(4 * time.Second), hintOf(time.Second)}, status(429), 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(c.throttled, status(200))
				transport := newTransport(t, server, steadyhttp.WithHints(c.hints...))
				ctx, report := steadyhttp.WithReport(t.Context())
				response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodPost, "payload"))
				require.NoError(t, err)
				assert.Equal(t, 200, response.StatusCode)
				assert.Equal(t, steadyhttp.Throttled, report.Attempts[0].Class)
				require.Len(t, server.Waits(), 1)
				assert.GreaterOrEqual(t, server.Waits()[0], c.wait)
				assert.LessOrEqual(t, server.Waits()[0], c.wait*3/2)
				assert.Equal(t, uint32(1), onlyBreaker(t, transport).Requests, "a throttled attempt is not counted")
			})
		})
	}
}

func TestHints_WithoutThemOnlyRetryAfterCounts(t *testing.T) {
	t.Parallel()
	for _, c := range throttlings {
		if strings.Contains(c.text, "Retry-After: ") && c.code == 429 {
			continue
		}
		first := message(c.code, c.text)
		sent := 0
		transport := newTransport(t, baseFunc{func(*http.Request) (*http.Response, error) {
			sent++
			return first, nil
		}})
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, 1, sent, c.name)
		assert.Equal(t, steadyhttp.StopNotRetryable, checkResponse(t, response).Stopped, c.name)
	}
}

// Retry-After is rounded to whole seconds, up or down: a hint that fits it is what was meant. Any other may be
// about another limit.
func TestHints_GiveWayToRetryAfterUnlessMoreExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		retryAfter string
		hint, want time.Duration
	}{
		{"1", 553 * time.Millisecond, 553 * time.Millisecond},
		{"1", 1553 * time.Millisecond, 1553 * time.Millisecond},
		{"0", 300 * time.Millisecond, 300 * time.Millisecond},
		{"2", 2 * time.Second, 2 * time.Second},
		{"2", time.Second, 2 * time.Second},
		{"2", 3 * time.Second, 2 * time.Second},
		{"2", time.Second + 1, time.Second + 1},
		{"2", time.Hour, 2 * time.Second},
		{"1.5", time.Second, 1500 * time.Millisecond}, // which is exact itself
		{"1", 0, time.Second},
		{"soon", 4 * time.Second, 4 * time.Second},
		{"-1", 4 * time.Second, 4 * time.Second},
		{"", 4 * time.Second, 4 * time.Second},
		{"5", -time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(429, "Retry-After", c.retryAfter), status(200))
			transport := newTransport(t, server, steadyhttp.WithHints(hintOf(c.hint)), steadyhttp.WithBackoff(1, 1))
			sendGets(t, transport, 1)
			require.Len(t, server.Waits(), 1)
			assert.GreaterOrEqual(t, server.Waits()[0], c.want, "%q, %v", c.retryAfter, c.hint)
			assert.LessOrEqual(t, server.Waits()[0], c.want*3/2, "%q, %v", c.retryAfter, c.hint)
		})
	}
}

func TestHints_NegativeMeansNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(429), status(200))
		transport := newTransport(t, server, steadyhttp.WithHints(hintOf(-time.Hour)), withConstantBackoff(time.Second))
		sendGets(t, transport, 1)
		assert.Equal(t, []time.Duration{time.Second}, server.Waits(), "an ordinary backoff")
	})
}

func TestHints_AreBoundedAsRetryAfterIs(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Minute + 1, time.Hour, math.MaxInt64} {
		response, err := newTransport(t, newScript(status(429)), steadyhttp.WithHints(hintOf(wait))).RoundTrip(newGet(t))
		require.NoError(t, err)
		failed := checkResponse(t, response)
		assert.Equal(t, steadyhttp.StopRetryAfterTooLong, failed.Stopped)
		assert.Equal(t, wait, failed.RetryAfter, "the error says when, as it does for a Retry-After")
		assert.Equal(t, 1, failed.Attempts)
	}
}

func TestHints_DeadlineThatTheyOutlastReturnsTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		server := newScript(status(403))
		response, err := newTransport(t, server, steadyhttp.WithHints(hintOf(3*time.Second))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		failed := checkResponse(t, response)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.Equal(t, steadyhttp.Throttled, failed.Class)
		assert.Equal(t, "Too many requests: slow down and retry in 3 s.", failed.Advice())
		assertClosedOnce(t, server, response)
	})
}

func TestHints_LengthenTheWaitAfterA5xx(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503, "Retry-After-Ms", "5000"), status(200))
		sendGets(t, newTransport(t, server, steadyhttp.WithHints(steadyhttp.HintMilliseconds)), 1)
		assert.GreaterOrEqual(t, server.Waits()[0], 5*time.Second)
	})
}

func TestHints_OfASuccessAreNotAskedUnlessAClassifierSaysOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		hint := func(*http.Response) (time.Duration, bool) {
			calls++
			return 2 * time.Second, true
		}
		sendGets(t, newTransport(t, newScript(status(200)), steadyhttp.WithHints(hint)), 1)
		sendGets(t, newTransport(t, newScript(fail(errReset)), steadyhttp.WithHints(hint), steadyhttp.WithMaxAttempts(1)), 1)
		require.Zero(t, calls)

		server := newScript(status(200), status(201))
		throttled := steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			if response.StatusCode == 200 {
				return steadyhttp.Throttled
			}
			return steadyhttp.Unclassified
		})
		code, err := sendGet(t, newTransport(t, server, steadyhttp.WithHints(hint), throttled))
		require.NoError(t, err)
		assert.Equal(t, 201, code)
		assert.GreaterOrEqual(t, server.Waits()[0], 2*time.Second)
		assert.Equal(t, 1, calls, "once for the attempt")
	})
}

// What a Classifier says counts last.
func TestHints_ClassifierMayOverrule(t *testing.T) {
	t.Parallel()
	server := newScript(status(403))
	sendGets(t, newTransport(t, server, steadyhttp.WithHints(hintOf(time.Second)), classifyAs(steadyhttp.ClientFault)), 1)
	server.AssertAttempts(t, 1)
}

// Also where the hints are asked only because of it: of a 200 that it takes for the client's fault.
func TestHints_ClientFaultOfAClassifierStaysOne(t *testing.T) {
	t.Parallel()
	server := newScript(status(200, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1"))
	transport := newTransport(t, server, steadyhttp.WithHints(steadyhttp.HintRateLimit), classifyAs(steadyhttp.ClientFault))
	response, err := transport.RoundTrip(newPost(t))
	require.NoError(t, err)
	server.AssertAttempts(t, 1)
	assert.Equal(t, steadyhttp.ClientFault, checkResponse(t, response).Class)
}

func TestHints_PanicLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	response := newResponse(429, http.NoBody)
	transport := newTransport(t, constantBase{response}, steadyhttp.WithOriginPause(1),
		steadyhttp.WithHints(func(*http.Response) (time.Duration, bool) { panic("a hint's") }))
	assert.PanicsWithValue(t, "a hint's", func() { _, _ = transport.RoundTrip(newPost(t)) })
	assert.Equal(t, 1, response.Body.(*trackedBody).closes())
	origin := onlyOrigin(t, transport)
	assert.Zero(t, origin.Calls)
	assert.Equal(t, steadyhttp.PauseIdle, origin.Pause)
}

func TestHints_LaterOptionReplacesAndNoneTurnsOff(t *testing.T) {
	t.Parallel()
	for attempts, options := range map[int][]steadyhttp.Option{
		1: {steadyhttp.WithHints(hintOf(0)), steadyhttp.WithHints()},
		2: {steadyhttp.WithHints(noHint), steadyhttp.WithHints(hintOf(0))},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(429), status(200))
			sendGets(t, newTransport(t, server, options...), 1)
			server.AssertAttempts(t, attempts)
		})
	}
}

func TestHints_NilIsRefused(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewClient(steadyhttp.WithHints(steadyhttp.HintGitHub, nil))
	assert.EqualError(t, err, "steadyhttp: WithHints: nil is invalid: want functions")
}

func TestHints_AreTheTransportsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hints := []steadyhttp.Hint{hintOf(0)}
		server := newScript(status(429), status(200))
		transport := newTransport(t, server, steadyhttp.WithHints(hints...))
		hints[0] = noHint
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 2)
	})
}

func TestServerDeclined_EndsTheCallWithTheResponse(t *testing.T) {
	t.Parallel()
	var cases []scriptCase
	for name, answer := range map[string]steadyhttptest.Response{
		"a 503":                      status(503, "X-Should-Retry", "false"),
		"Stripe's own":               status(503, "Stripe-Should-Retry", "false"),
		"in other letters":           status(503, "x-should-retry", " False "),
		"one of several":             status(503, "X-Should-Retry", "true", "X-Should-Retry", "false"),
		"one of several in a line":   status(503, "X-Should-Retry", "true, FALSE"), // as proxies join them
		"a 503 that says when, also": status(503, "X-Should-Retry", "false", "Retry-After", "1"),
	} {
		cases = append(cases, scriptCase{name: name, steps: []step{answer}, attempts: 1, status: 503, stopped: steadyhttp.StopServerDeclined})
	}
	for name, answer := range map[string]steadyhttptest.Response{
		"yes":      status(503, "X-Should-Retry", "true"),
		"nonsense": status(503, "X-Should-Retry", "0"),
		"nothing":  status(503, "X-Should-Retry", ""),
	} {
		cases = append(cases, scriptCase{name: name, steps: []step{answer, status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess})
	}
	runScriptCases(t, append(cases, []scriptCase{
		{name: "a 429 that says when", steps: []step{status(429, "X-Should-Retry", "false", "Retry-After", "1")},
			attempts: 1, status: 429, stopped: steadyhttp.StopServerDeclined},
		{name: "a yes unlocks no 4xx", steps: []step{status(409, "X-Should-Retry", "true", "Stripe-Should-Retry", "true")},
			attempts: 1, status: 409, stopped: steadyhttp.StopNotRetryable},
		{name: "a yes unlocks no POST", request: payloadRequest(http.MethodPost), steps: []step{status(503, "X-Should-Retry", "true")},
			attempts: 1, status: 503, stopped: steadyhttp.StopNotIdempotent},
		{name: "a yes unlocks no bare 429", steps: []step{status(429, "X-Should-Retry", "true")},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "what no class retries", steps: []step{status(404, "X-Should-Retry", "false")},
			attempts: 1, status: 404, stopped: steadyhttp.StopNotRetryable},
		{name: "what a hint knows", options: []steadyhttp.Option{steadyhttp.WithHints(hintOf(time.Second))},
			steps: []step{status(403, "X-Should-Retry", "false")}, attempts: 1, status: 403, stopped: steadyhttp.StopServerDeclined},
		{name: "after an attempt that did not say so", steps: []step{status(503), status(503, "X-Should-Retry", "false")},
			attempts: 2, status: 503, stopped: steadyhttp.StopServerDeclined},
	}...))
}

func TestServerDeclined_CountsAsItsClass(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(503, "X-Should-Retry", "false")))
	response, err := transport.RoundTrip(newGet(t))
	require.NoError(t, err)
	assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures)
	failed := checkResponse(t, response)
	assert.Contains(t, failed.Error(), "not retried: server_declined")
	assert.Equal(t, "The request was fine, but the server is overloaded or being maintained: 1 attempt made, and the server said that a retry is of no use.", failed.Advice())
}

// Advice to retry would contradict the server.
func TestServerDeclined_AdvisesNoRetry(t *testing.T) {
	t.Parallel()
	for _, class := range []steadyhttp.Class{steadyhttp.Throttled, steadyhttp.NotReady, steadyhttp.Transient, steadyhttp.Unprocessed} {
		declining := newScript(status(429, "X-Should-Retry", "false", "Retry-After", "1"))
		response, err := newTransport(t, declining, classifyAs(class)).RoundTrip(newGet(t))
		require.NoError(t, err)
		failed := checkResponse(t, response)
		assert.Equal(t, steadyhttp.StopServerDeclined, failed.Stopped, class)
		assert.Contains(t, failed.Advice(), "the server said that a retry is of no use", class)
		assert.NotContains(t, failed.Advice(), "may work", class)
		assert.NotContains(t, failed.Advice(), "in 1 s", class)
	}
}
