// Package peers sets up retry libraries over a base transport, so that they can be compared. Each retries transient failures
// a few times and has a circuit breaker, in the way that its own README recommends.
package peers

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/cenkalti/backoff/v4"
	"github.com/cristalhq/hedgedhttp"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/gojek/heimdall/v7"
	"github.com/gojek/heimdall/v7/httpclient"
	"github.com/gojek/heimdall/v7/hystrix"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"resty.dev/v3"

	"github.com/steadyhttp/steadyhttp"
)

// A Doer makes calls. Every library has a client that can be one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// A Library is a way to make a client.
type Library struct {
	Name    string
	Chosen  string // the settings that the library's README leaves open
	Client  func(base http.RoundTripper) Doer
	Retries bool
	Breaks  bool // whether it has a circuit breaker
	Real    bool // whether it works only in real time, because its goroutines outlive their calls and serve all clients
}

// A Setup is what a comparison sets in the same way for all libraries. The zero Setup sets nothing.
type Setup struct {
	Shortest, Longest time.Duration // the waits between attempts
	OpenFor           time.Duration // how long a breaker stays open
	Tolerant          bool          // whether budgets and breakers allow every other attempt to fail
}

// waits are those of the Setup, or else the library's own.
func (s Setup) waits(shortest, longest time.Duration) (time.Duration, time.Duration) {
	if s.Longest > 0 {
		return s.Shortest, s.Longest
	}
	return shortest, longest
}

// openFor is how long every breaker stays open: a second, unless the Setup says otherwise.
func (s Setup) openFor() time.Duration {
	if s.OpenFor > 0 {
		return s.OpenFor
	}
	return time.Second
}

// failureRate is the rate at which every breaker opens, of at least ten attempts.
func (s Setup) failureRate() float64 {
	if s.Tolerant {
		return 0.9
	}
	return 0.5
}

// Options are the Setup as options of steadyhttp.
func (s Setup) Options() (options []steadyhttp.Option) {
	if s.Longest > 0 {
		options = append(options, steadyhttp.WithBackoff(s.Shortest, s.Longest))
	}
	if s.OpenFor > 0 {
		// The default rule waits for 5 s without a success, which a benchmark does not.
		options = append(options, steadyhttp.WithBreakerOpenFor(s.OpenFor), steadyhttp.WithBreakerConsecutiveFailures(5, 0))
	}
	if s.Tolerant {
		options = append(options, steadyhttp.WithBreakerFailureRate(s.failureRate(), 10), steadyhttp.WithRetryBudget(1, 5))
	}
	return options
}

// All returns steadyhttp, its peers, and http.Client alone.
func All(setup Setup) []Library {
	return append([]Library{Steady(setup.Options()...)}, Others(setup)...)
}

// Steady returns steadyhttp with these options.
func Steady(options ...steadyhttp.Option) Library {
	return Library{Name: "steadyhttp", Chosen: "the defaults", Breaks: true, Retries: true, Client: func(base http.RoundTripper) Doer {
		transport, err := steadyhttp.NewTransport(base, options...)
		if err != nil {
			panic(err)
		}
		return newClient(transport)
	}}
}

// Others returns the peers, and http.Client alone.
func Others(setup Setup) []Library {
	return []Library{
		{Name: "no retries", Chosen: "http.Client alone", Client: newClient},
		{Name: "go-retryablehttp", Retries: true, Client: setup.retryable,
			Chosen: "NewClient(): 5 attempts, 1 s to 30 s; it has no breaker"},
		{Name: "failsafehttp", Breaks: true, Retries: true, Client: setup.failsafe,
			Chosen: "its HTTP retry policy with 3 retries and a backoff of 100 ms to 10 s, and a breaker at 50 % of ≥ 10 in 5 s, open for 1 s"},
		{Name: "failsafehttp, budget", Breaks: true, Retries: true, Client: setup.failsafeBudget,
			Chosen: "the same with its retry budget as it comes"},
		{Name: "rehttp", Retries: true, Client: setup.rehttp,
			Chosen: "3 retries of 5xx and temporary errors, exponential jitter from 200 ms to 10 s; it has no breaker"},
		{Name: "rehttp + gobreaker", Breaks: true, Retries: true, Client: setup.rehttpGobreaker,
			Chosen: "the same over gobreaker: 50 % of ≥ 10 in 5 s rolling, open for 1 s"},
		{Name: "heimdall", Retries: true, Client: setup.heimdall,
			Chosen: "4 retries, exponential backoff from 200 ms to 10 s, without its hystrix"},
		{Name: "heimdall, hystrix", Breaks: true, Retries: true, Real: true, Client: setup.hystrix,
			Chosen: "the same with its hystrix: 50 % of ≥ 10 in 10 s, open for 1 s, at most 1,000 calls at once"},
		{Name: "resty", Breaks: true, Retries: true, Client: setup.resty,
			Chosen: "3 retries, on 5xx too, waits from 100 ms to 2 s as it comes, breaker at a ratio of 0.5 of ≥ 10, open for 1 s"},
		{Name: "hedgedhttp", Real: true, Client: hedged, Chosen: "a second request after 100 ms; it neither retries nor breaks"},
		{Name: "by hand", Breaks: true, Retries: true, Client: setup.byHand,
			Chosen: "cenkalti/backoff, 3 retries from 200 ms, around gobreaker as above"},
	}
}

func newClient(transport http.RoundTripper) Doer { return &http.Client{Transport: transport} }

// A doFunc is a function that is a Doer.
type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(request *http.Request) (*http.Response, error) { return f(request) }

func (s Setup) retryable(base http.RoundTripper) Doer {
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.RetryWaitMin, client.RetryWaitMax = s.waits(client.RetryWaitMin, client.RetryWaitMax)
	client.HTTPClient = &http.Client{Transport: base}
	return client.StandardClient()
}

func (s Setup) failsafe(base http.RoundTripper) Doer {
	return s.failsafeWith(base, s.failsafeRetry().Build())
}

func (s Setup) failsafeBudget(base http.RoundTripper) Doer {
	return s.failsafeWith(base, s.failsafeRetry().WithBudget(budget.New()).Build())
}

func (s Setup) failsafeRetry() retrypolicy.Builder[*http.Response] {
	return failsafehttp.NewRetryPolicyBuilder().WithBackoff(s.waits(100*time.Millisecond, 10*time.Second)).WithMaxRetries(3)
}

func (s Setup) failsafeWith(base http.RoundTripper, retry retrypolicy.RetryPolicy[*http.Response]) Doer {
	breaker := circuitbreaker.NewBuilder[*http.Response]().HandleIf(isFailure).
		WithFailureRateThreshold(s.failureRate(), 10, 5*time.Second).WithDelay(s.openFor()).Build()
	return newClient(failsafehttp.NewRoundTripper(base, retry, breaker))
}

func isFailure(response *http.Response, err error) bool {
	return err != nil || response != nil && response.StatusCode >= http.StatusInternalServerError
}

func (s Setup) rehttp(base http.RoundTripper) Doer {
	return newClient(rehttp.NewTransport(base,
		rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryAny(rehttp.RetryStatusInterval(500, 600), rehttp.RetryTemporaryErr())),
		rehttp.ExpJitterDelay(s.waits(200*time.Millisecond, 10*time.Second))))
}

func (s Setup) rehttpGobreaker(base http.RoundTripper) Doer {
	return s.rehttp(breakerTransport{base, s.newBreaker()})
}

// A breakerTransport is a transport with gobreaker around it: a response that is a failure must become an error for
// gobreaker, and a response again for the caller.
type breakerTransport struct {
	base    http.RoundTripper
	breaker *gobreaker.CircuitBreaker[*http.Response]
}

var errServer = errors.New("the server failed")

func (s Setup) newBreaker() *gobreaker.CircuitBreaker[*http.Response] {
	return gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Interval: 5 * time.Second, BucketPeriod: 500 * time.Millisecond, Timeout: s.openFor(),
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return counts.Requests >= 10 && float64(counts.TotalFailures) >= s.failureRate()*float64(counts.Requests)
		},
	})
}

func (b breakerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
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

func (s Setup) heimdall(base http.RoundTripper) Doer {
	return httpclient.NewClient(httpclient.WithHTTPClient(&http.Client{Transport: base}),
		httpclient.WithRetrier(s.retrier()), httpclient.WithRetryCount(4))
}

func (s Setup) retrier() heimdall.Retriable {
	shortest, longest := s.waits(200*time.Millisecond, 10*time.Second)
	return heimdall.NewRetrier(heimdall.NewExponentialBackoff(shortest, longest, 2, shortest/2))
}

// commands numbers the commands of hystrix: each client needs a circuit of its own.
var commands atomic.Int64

func (s Setup) hystrix(base http.RoundTripper) Doer {
	return hystrix.NewClient(hystrix.WithHTTPClient(&http.Client{Transport: base}),
		hystrix.WithRetrier(s.retrier()), hystrix.WithRetryCount(4),
		hystrix.WithCommandName(strconv.FormatInt(commands.Add(1), 10)), hystrix.WithMaxConcurrentRequests(1000),
		hystrix.WithRequestVolumeThreshold(10), hystrix.WithErrorPercentThreshold(int(100*s.failureRate())),
		hystrix.WithSleepWindow(int(s.openFor().Milliseconds())))
}

func (s Setup) resty(base http.RoundTripper) Doer {
	client := resty.New().SetTransport(base).SetRetryCount(3).AddRetryConditions(resty.RetryConditionStatus5XX).
		SetCircuitBreaker(resty.NewCircuitBreakerRatio(s.failureRate(), 10, s.openFor()))
	shortest, longest := s.waits(client.RetryWaitTime(), client.RetryMaxWaitTime())
	client.SetRetryWaitTime(shortest).SetRetryMaxWaitTime(longest)
	return doFunc(func(request *http.Request) (*http.Response, error) {
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
	return newClient(transport)
}

// byHand is the loop that people write by themselves.
func (s Setup) byHand(base http.RoundTripper) Doer {
	client := newClient(breakerTransport{base, s.newBreaker()})
	shortest, longest := s.waits(200*time.Millisecond, backoff.DefaultMaxInterval)
	return doFunc(func(request *http.Request) (response *http.Response, err error) {
		waits := backoff.NewExponentialBackOff(backoff.WithInitialInterval(shortest), backoff.WithMaxInterval(longest))
		err = backoff.Retry(func() error {
			response, err = client.Do(request)
			if err == nil && isFailure(response, nil) {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				err = errServer
			}
			return err
		}, backoff.WithContext(backoff.WithMaxRetries(waits, 3), request.Context()))
		return response, err
	})
}
