package steadyhttp

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Hint reads from a response how long its server asks to be left alone, in other words than Retry-After; see
// [WithHints].
//
// It reports false where the response does not say. A negative wait counts as 0, which means now. It is called
// for different calls at the same time, must not keep or close the response, and must leave its body as it was.
type Hint func(response *http.Response) (wait time.Duration, ok bool)

// HintMilliseconds is the [Hint] of Retry-After-Ms and X-Ms-Retry-After-Ms: a number of milliseconds.
//
// OpenAI and Azure send them beside a Retry-After, which is rounded to whole seconds. Of several the largest
// valid one counts.
func HintMilliseconds(response *http.Response) (wait time.Duration, ok bool) {
	if response == nil {
		return 0, false
	}
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		for _, line := range response.Header.Values(name) {
			if asked, valid := parseMilliseconds(line); valid {
				wait, ok = max(wait, asked), true
			}
		}
	}
	return wait, ok
}

// HintRateLimit is the [Hint] of the IETF's RateLimit header fields, and of those that came before them:
// RateLimit in both its forms, RateLimit-Reset, X-RateLimit-Reset and X-Rate-Limit-Reset.
//
// A quota that is used up says when there is more: in seconds, as a Unix time in seconds or milliseconds, or as a
// date (RFC 9110 or RFC 3339). A Unix time and a date count from the response's own Date. Of several quotas, and of
// several lines, the one that takes longest counts. A quota whose remaining is not 0 says nothing, and neither does
// a 4xx other than 429: most servers send these header fields with every response, so such a 4xx may well be the
// last one that a quota paid for.
func HintRateLimit(response *http.Response) (wait time.Duration, ok bool) {
	if response == nil || isClientError(response.StatusCode) && response.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	refused := response.StatusCode == http.StatusTooManyRequests
	return longestReset(quotasOf(response.Header), refused, sentAt(response))
}

// firstHint asks the hints in order.
func firstHint(hints []Hint, response *http.Response) (wait time.Duration, ok bool) {
	for _, hint := range hints {
		if wait, ok := hint(response); ok {
			return max(0, wait), true
		}
	}
	return 0, false
}

// declined reports whether the server says that a retry is of no use. The word of OpenAI, Anthropic and others
// is X-Should-Retry; Stripe has its own. A true means nothing here: what may be retried is for the client to know.
func declined(response *http.Response) bool {
	if response == nil {
		return false
	}
	for _, name := range []string{"X-Should-Retry", "Stripe-Should-Retry"} {
		if slices.ContainsFunc(response.Header.Values(name), saysFalse) {
			return true
		}
	}
	return false
}

// saysFalse looks for the word in a list.
func saysFalse(line string) bool {
	for word := range strings.SplitSeq(line, ",") {
		if strings.EqualFold(strings.TrimSpace(word), "false") {
			return true
		}
	}
	return false
}

// githubPause is how long GitHub asks to wait at least where a secondary limit does not say.
const githubPause = time.Minute

// HintGitHub is the [Hint] of GitHub's limits, which are a 403 or a 429.
//
// It follows GitHub's own advice: Retry-After; else, if X-RateLimit-Remaining is 0, X-RateLimit-Reset; else, for
// a secondary limit, one minute. A 429 without the header fields is such a limit, and so is a 403 whose body
// says so: of a 403 from GitHub that says nothing else the start of the body is read and put back, which may wait
// for the server as any reading does. Any other 403 is a [ClientFault], as ever. X-RateLimit-Reset is up to an hour
// away: see [WithMaxRetryAfter].
func HintGitHub(response *http.Response) (wait time.Duration, ok bool) {
	if response == nil || response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	if wait, ok := retryAfter(response, time.Now); ok {
		return wait, true
	}
	if wait, ok := longestReset(quotasNamed("X-Ratelimit", response.Header), false, sentAt(response)); ok {
		return wait, true
	}
	if response.StatusCode == http.StatusTooManyRequests || saysSecondaryLimit(response) {
		return githubPause, true
	}
	return 0, false
}

// saysSecondaryLimit looks into the body, which is the only place where GitHub tells a secondary limit that has
// no Retry-After from a missing permission.
func saysSecondaryLimit(response *http.Response) bool {
	header := response.Header
	if header.Get("X-Github-Request-Id") == "" || !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		return false
	}
	said := bytes.ToLower(peek(response))
	return bytes.Contains(said, []byte("secondary rate limit")) || bytes.Contains(said, []byte("abuse detection"))
}

// A quota is what one policy of a server has left, and when there is more: as they were sent.
type quota struct{ remaining, reset string }

// usedUp reports whether nothing remains. Of a request that was refused for a limit, this also goes without
// saying.
func (q quota) usedUp(refused bool) bool {
	left := strings.TrimSpace(q.remaining)
	if left == "" {
		return refused
	}
	debt, negative := strings.CutPrefix(left, "-")
	number, ok := parseSeconds(debt)
	return ok && (negative || number == 0)
}

// longestReset is how long it takes until there is more of every quota that is used up.
func longestReset(quotas []quota, refused bool, sent time.Time) (wait time.Duration, ok bool) {
	for _, q := range quotas {
		if !q.usedUp(refused) {
			continue
		}
		if reset, valid := parseReset(q.reset, sent); valid {
			wait, ok = max(wait, reset), true
		}
	}
	return wait, ok
}

// maxQuotaField is in octets. Servers send some 100; 10 MiB, which net/http lets through, would take 5 GB to parse.
const maxQuotaField = 8 << 10

// quotasOf are those that a header tells of, in any of the forms in use. A RateLimit that is too long is junk.
func quotasOf(header http.Header) (quotas []quota) {
	if field := strings.Join(header.Values("Ratelimit"), ","); len(field) <= maxQuotaField {
		quotas = parseQuotas(field)
	}
	for _, name := range []string{"Ratelimit", "X-Ratelimit", "X-Rate-Limit"} {
		quotas = append(quotas, quotasNamed(name, header)...)
	}
	return quotas
}

// quotasNamed pairs the lines of two header fields: a server and a proxy before it may each send their own.
func quotasNamed(name string, header http.Header) (quotas []quota) {
	remaining := header.Values(name + "-Remaining")
	for i, reset := range header.Values(name + "-Reset") {
		q := quota{reset: reset}
		if len(remaining) > 0 {
			q.remaining = remaining[min(i, len(remaining)-1)]
		}
		quotas = append(quotas, q)
	}
	return quotas
}

// parseQuotas reads a RateLimit header field (draft-ietf-httpapi-ratelimit-headers): a list of policies from
// version 8 on, as in "hour";r=0;t=30, "day";r=5;t=300, and a dictionary in version 7, limit=10, remaining=0,
// reset=30. Of a dictionary whose keys come again, another one begins there.
func parseQuotas(field string) (quotas []quota) {
	var whole quota
	for member := range strings.SplitSeq(unquoted(field), ",") {
		name, parameters, _ := strings.Cut(member, ";")
		var part, policy quota
		part.set(name, "remaining", "reset")
		if whole.overlaps(part) {
			quotas, whole = append(quotas, whole), quota{}
		}
		whole.set(name, "remaining", "reset")
		for parameter := range strings.SplitSeq(parameters, ";") {
			policy.set(parameter, "r", "t")
		}
		quotas = append(quotas, policy)
	}
	return append(quotas, whole)
}

// overlaps reports whether both say the same of a quota.
func (q quota) overlaps(other quota) bool {
	return q.remaining != "" && other.remaining != "" || q.reset != "" && other.reset != ""
}

// set takes key=value for what the two keys name.
func (q *quota) set(pair, remaining, reset string) {
	switch key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); key {
	case remaining:
		q.remaining = value
	case reset:
		q.reset = value
	}
}

// unquoted leaves out what is in quotes (RFC 8941 §3.3.3): names of policies, which may contain anything.
func unquoted(field string) string {
	var rest strings.Builder
	quoted, escaped := false, false
	for _, r := range field {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case !quoted:
			rest.WriteRune(r)
		}
	}
	return rest.String()
}

// sentAt is when the response was sent by its server's clock, or else by ours. It is as coarse as Date, so that
// what is counted from it may be up to a second too long, and never too short.
func sentAt(response *http.Response) time.Time {
	if date, ok := dateOf(response); ok {
		return date
	}
	return time.Now().Truncate(time.Second)
}

// dateOf is the response's Date, if that is of our days: one that is not comes from a clock that was never set.
func dateOf(response *http.Response) (time.Time, bool) {
	date, err := http.ParseTime(response.Header.Get("Date"))
	return date, err == nil && isOfOurDays(date)
}

// isOfOurDays also keeps the sums with a Unix time from overflowing.
func isOfOurDays(t time.Time) bool { return t.Year() >= 1980 && t.Year() <= 2100 }

// parseReset reads when there is more of a quota. The past means now.
func parseReset(text string, sent time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if seconds, ok := parseSeconds(text); ok {
		return untilReset(text, seconds, sent), true
	}
	date, err := http.ParseTime(text)
	if err != nil {
		date, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return 0, false
	}
	return max(0, date.Sub(sent)), true
}

// untilReset tells a Unix time from seconds. A number that is a time of our days, in seconds or in milliseconds,
// is one: as seconds from now it would be decades. Without a clock of our days nothing tells.
func untilReset(text string, seconds time.Duration, sent time.Time) time.Duration {
	if !isOfOurDays(sent) {
		return seconds
	}
	now := time.Duration(sent.Unix()) * time.Second
	for _, unixTime := range []time.Duration{seconds, shifted(text)} {
		if unixTime > now/2 && unixTime < 2*now {
			return max(0, unixTime-now)
		}
	}
	return seconds
}

// parseMilliseconds rounds up, as parseSeconds does: a wait is never shortened.
func parseMilliseconds(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if _, ok := parseSeconds(text); !ok {
		return 0, false
	}
	return shifted(text), true
}

// shifted is what a valid number means as milliseconds.
func shifted(text string) time.Duration {
	whole, fraction, _ := strings.Cut("000"+text, ".")
	point := len(whole) - len("000")
	wait, _ := parseSeconds(whole[:point] + "." + whole[point:] + fraction)
	return wait
}

func isClientError(status int) bool { return status >= 400 && status < 500 }
