// Package peers sets up retry libraries as their own READMEs would for "retry transient failures a few
// times, and break the circuit", over a base transport, so that they can be compared.
package peers

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/cenkalti/backoff/v4"
	"github.com/cristalhq/hedgedhttp"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/gojek/heimdall/v7"
	"github.com/gojek/heimdall/v7/httpclient"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"resty.dev/v3"

	"github.com/steadyhttp/steadyhttp"
)

// A Doer makes calls. Every client has one, by this name or another.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// A Library is a way to make a client.
type Library struct {
	Name   string
	Chosen string // what was chosen where the library's README leaves the choice
	Client func(base http.RoundTripper) Doer
	Breaks bool // whether it has a circuit breaker
	Real   bool // whether it works only in real time: it has goroutines without end
}

// Steady is what this is all about.
func Steady(options ...steadyhttp.Option) Library {
	return Library{Name: "steadyhttp", Chosen: "the defaults", Breaks: true, Client: func(base http.RoundTripper) Doer {
		transport, err := steadyhttp.NewTransport(base, options...)
		if err != nil {
			panic(err)
		}
		return through(transport)
	}}
}

// Others are the peers, and http.Client alone.
func Others() []Library {
	return []Library{
		{Name: "no retries", Chosen: "http.Client alone", Client: through},
		{Name: "go-retryablehttp", Chosen: "NewClient(): 5 attempts, 1 s to 30 s; it has no breaker", Client: retryable},
		{Name: "failsafehttp", Breaks: true, Client: failsafe(false),
			Chosen: "its HTTP retry policy with a backoff of 100 ms to 10 s, and a breaker at 50 % of ≥ 10 in 5 s, open for 1 s"},
		{Name: "failsafehttp, budget", Breaks: true, Client: failsafe(true), Chosen: "the same with its retry budget as it comes"},
		{Name: "rehttp", Client: func(base http.RoundTripper) Doer { return through(retrying(base)) },
			Chosen: "3 retries of 5xx and temporary errors, exponential jitter from 200 ms to 10 s; it has no breaker"},
		{Name: "rehttp + gobreaker", Breaks: true, Client: func(base http.RoundTripper) Doer { return through(retrying(breaking{base, newBreaker()})) },
			Chosen: "the same over gobreaker: 50 % of ≥ 10 in 5 s rolling, open for 1 s"},
		{Name: "heimdall", Client: throughHeimdall, Chosen: "4 retries, exponential backoff from 200 ms to 10 s, without its hystrix"},
		{Name: "resty", Breaks: true, Client: throughResty,
			Chosen: "3 retries, on 5xx too, waits from 100 ms to 2 s as it comes, breaker at a ratio of 0.5 of ≥ 10, open for 1 s"},
		{Name: "hedgedhttp", Real: true, Client: hedged, Chosen: "a second request after 100 ms; it neither retries nor breaks"},
		{Name: "by hand", Breaks: true, Client: byHand, Chosen: "cenkalti/backoff, 3 retries from 200 ms, around gobreaker as above"},
	}
}

func through(transport http.RoundTripper) Doer { return &http.Client{Transport: transport} }

// A doing is a function that is a Doer.
type doing func(*http.Request) (*http.Response, error)

func (d doing) Do(request *http.Request) (*http.Response, error) { return d(request) }

func retryable(base http.RoundTripper) Doer {
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = &http.Client{Transport: base}
	return client.StandardClient()
}

func failsafe(budgeted bool) func(http.RoundTripper) Doer {
	return func(base http.RoundTripper) Doer {
		retry := failsafehttp.NewRetryPolicyBuilder().WithBackoff(100*time.Millisecond, 10*time.Second).WithMaxRetries(3)
		if budgeted {
			retry = retry.WithBudget(budget.New())
		}
		breaker := circuitbreaker.NewBuilder[*http.Response]().HandleIf(isFailure).
			WithFailureRateThreshold(0.5, 10, 5*time.Second).WithDelay(time.Second).Build()
		return through(failsafehttp.NewRoundTripper(base, retry.Build(), breaker))
	}
}

func isFailure(response *http.Response, err error) bool {
	return err != nil || response != nil && response.StatusCode >= http.StatusInternalServerError
}

func retrying(base http.RoundTripper) http.RoundTripper {
	return rehttp.NewTransport(base,
		rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryAny(rehttp.RetryStatusInterval(500, 600), rehttp.RetryTemporaryErr())),
		rehttp.ExpJitterDelay(200*time.Millisecond, 10*time.Second))
}

// breaking is how gobreaker is put around a transport: an answer that is a failure must become an error
// for it, and an answer again for the caller.
type breaking struct {
	base    http.RoundTripper
	breaker *gobreaker.CircuitBreaker[*http.Response]
}

var errServer = errors.New("the server failed")

func newBreaker() *gobreaker.CircuitBreaker[*http.Response] {
	return gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Interval: 5 * time.Second, BucketPeriod: 500 * time.Millisecond, Timeout: time.Second,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return counts.Requests >= 10 && float64(counts.TotalFailures) >= 0.5*float64(counts.Requests)
		},
	})
}

func (b breaking) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.breaker.Execute(func() (*http.Response, error) {
		response, err := b.base.RoundTrip(request)
		if err == nil && isFailure(response, nil) {
			err = errServer
		}
		return response, err
	})
	if errors.Is(err, errServer) {
		return response, nil
	}
	return response, err
}

func throughHeimdall(base http.RoundTripper) Doer {
	retrier := heimdall.NewRetrier(heimdall.NewExponentialBackoff(200*time.Millisecond, 10*time.Second, 2, 100*time.Millisecond))
	return httpclient.NewClient(httpclient.WithHTTPClient(&http.Client{Transport: base}),
		httpclient.WithRetrier(retrier), httpclient.WithRetryCount(4))
}

func throughResty(base http.RoundTripper) Doer {
	client := resty.New().SetTransport(base).SetRetryCount(3).AddRetryConditions(resty.RetryConditionStatus5XX).
		SetCircuitBreaker(resty.NewCircuitBreakerRatio(0.5, 10, time.Second))
	return doing(func(request *http.Request) (*http.Response, error) {
		call := client.R().SetContext(request.Context()).SetResponseDoNotParse(true)
		if request.Body != nil {
			call.SetBody(request.Body)
		}
		response, err := call.Execute(request.Method, request.URL.String())
		if err != nil {
			return nil, err
		}
		return response.RawResponse, nil
	})
}

func hedged(base http.RoundTripper) Doer {
	transport, err := hedgedhttp.NewRoundTripper(100*time.Millisecond, 2, base)
	if err != nil {
		panic(err)
	}
	return through(transport)
}

// byHand is the loop that people write themselves.
func byHand(base http.RoundTripper) Doer {
	client := through(breaking{base, newBreaker()})
	return doing(func(request *http.Request) (response *http.Response, err error) {
		policy := backoff.WithMaxRetries(backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond)), 3)
		err = backoff.Retry(func() error {
			response, err = client.Do(request)
			if err == nil && isFailure(response, nil) {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				err = errServer
			}
			return err
		}, backoff.WithContext(policy, request.Context()))
		return response, err
	})
}
