package steadyhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A server that says when in milliseconds, as OpenAI and Azure do, is asked again then, and not a second later.
func ExampleWithHints() {
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(429).Header("Retry-After", "1").Header("Retry-After-Ms", "30"),
		steadyhttptest.Status(200),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits,
		steadyhttp.WithHints(steadyhttp.HintMilliseconds, steadyhttp.HintRateLimit))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Post("https://api.example.com/v1/responses", "application/json", strings.NewReader("{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	waited := server.Waits()[0]
	fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	fmt.Println("as told:", waited >= 30*time.Millisecond && waited < time.Second)
	// Output:
	// 200 after 2
	// as told: true
}

// A signingTransport signs each attempt anew, for a server that takes no signature twice.
type signingTransport struct {
	base http.RoundTripper
	sign func(*http.Request)
}

func (s signingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	signed := request.Clone(request.Context())
	s.sign(signed)
	return s.base.RoundTrip(signed)
}

// Akamai's APIs say in X-RateLimit-Next when there is room for one more request. They take each signature once, so
// that each attempt has to be signed.
func ExampleWithHints_akamai() {
	next := func(response *http.Response) (time.Duration, bool) {
		if response.StatusCode != http.StatusTooManyRequests {
			return 0, false
		}
		at, err := time.Parse(time.RFC3339, response.Header.Get("X-RateLimit-Next"))
		return time.Until(at), err == nil
	}
	soon := time.Now().Add(30 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(429).Header("X-RateLimit-Remaining", "0").Header("X-RateLimit-Next", soon),
		steadyhttptest.Status(200),
	)
	sign := func(r *http.Request) { // edgegrid's SignRequest, in earnest
		r.Header.Set("Authorization", fmt.Sprint("signature of attempt ", steadyhttp.AttemptFromContext(r.Context())))
	}
	client, err := steadyhttp.Wrap(&http.Client{Transport: signingTransport{server, sign}}, shortWaits, steadyhttp.WithHints(next))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://akab-1.luna.akamaiapis.net/papi/v1/groups")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	for _, attempt := range server.Attempts() {
		fmt.Println(attempt.Header.Get("Authorization"))
	}
	// Output:
	// 200 after 2
	// signature of attempt 1
	// signature of attempt 2
}

// Anthropic sends Retry-After with a 429, and names each limit in header fields of its own, which proxies may
// keep where they drop Retry-After. A hint for them looks for a limit with nothing left.
func ExampleHint_anthropic() {
	anthropic := func(response *http.Response) (wait time.Duration, ok bool) {
		for _, limit := range []string{"Requests", "Tokens", "Input-Tokens", "Output-Tokens"} {
			prefix := "Anthropic-Ratelimit-" + limit
			at, err := time.Parse(time.RFC3339, response.Header.Get(prefix+"-Reset"))
			if err == nil && response.Header.Get(prefix+"-Remaining") == "0" {
				wait, ok = max(wait, time.Until(at)), true
			}
		}
		return wait, ok && response.StatusCode == http.StatusTooManyRequests
	}
	inTwo := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	server := steadyhttptest.NewTransport(steadyhttptest.Status(429).
		Header("Anthropic-RateLimit-Requests-Remaining", "12").Header("Anthropic-RateLimit-Requests-Reset", inTwo).
		Header("Anthropic-RateLimit-Tokens-Remaining", "0").Header("Anthropic-RateLimit-Tokens-Reset", inTwo))
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, steadyhttp.WithHints(anthropic))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Post("https://api.anthropic.com/v1/messages", "application/json", strings.NewReader("{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(steadyhttp.CheckResponse(response))
	// Output:
	// steadyhttp: POST https://api.anthropic.com/v1/messages answered 429 Too Many Requests after 1 attempt (throttled, not retried: retry_after_too_long)
}

// OpenAI and many servers that speak its API tell of each limit how long it takes until it is whole again, as
// a Go duration. That is rather too long than too short: ask HintMilliseconds first.
func ExampleHint_openAI() {
	openAI := func(response *http.Response) (wait time.Duration, ok bool) {
		for _, limit := range []string{"Requests", "Tokens"} {
			reset, err := time.ParseDuration(response.Header.Get("X-Ratelimit-Reset-" + limit))
			if err == nil && response.Header.Get("X-Ratelimit-Remaining-"+limit) == "0" {
				wait, ok = max(wait, reset), true
			}
		}
		return wait, ok && response.StatusCode == http.StatusTooManyRequests
	}
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(429).
			Header("X-RateLimit-Remaining-Requests", "0").Header("X-RateLimit-Reset-Requests", "12ms").
			Header("X-RateLimit-Remaining-Tokens", "149984").Header("X-RateLimit-Reset-Tokens", "6m0s"),
		steadyhttptest.Status(200),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits,
		steadyhttp.WithHints(steadyhttp.HintMilliseconds, openAI))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Post("https://api.example.com/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	// Output:
	// 200 after 2
}
