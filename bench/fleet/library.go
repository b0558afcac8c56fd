package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/cenkalti/backoff/v4"
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

// A library is a way to make a client over a base transport: one for each member of the fleet.
type library struct {
	name   string
	chosen string // what was chosen where the library's README leaves the choice
	client func(base http.RoundTripper) caller
}

// steady is what this is all about.
func steady(options ...steadyhttp.Option) library {
	return library{"steadyhttp", "the defaults", func(base http.RoundTripper) caller {
		transport, err := steadyhttp.NewTransport(base, options...)
		if err != nil {
			panic(err)
		}
		return through(transport)
	}}
}

var peers = []library{
	{"no retries", "http.Client alone", through},
	{"go-retryablehttp", "NewClient(): 5 attempts, 1 s to 30 s; it has no breaker", retryable},
	{"failsafehttp", "its HTTP retry policy with a backoff of 100 ms to 10 s, and a breaker at 50 % of ≥ 10 in 5 s, open for 1 s", failsafe(false)},
	{"failsafehttp, budget", "the same with its retry budget as it comes", failsafe(true)},
	{"rehttp", "3 retries of 5xx and temporary errors, exponential jitter from 200 ms to 10 s; it has no breaker", func(base http.RoundTripper) caller {
		return through(retrying(base))
	}},
	{"rehttp + gobreaker", "the same over gobreaker: 50 % of ≥ 10 in 5 s rolling, open for 1 s", func(base http.RoundTripper) caller {
		return through(retrying(breaking{base, newBreaker()}))
	}},
	{"heimdall", "4 retries, exponential backoff from 200 ms to 10 s; its hystrix has goroutines without end, which a bubble cannot hold", throughHeimdall},
	{"resty", "3 retries on 5xx, waits from 100 ms to 2 s as it comes, breaker at a ratio of 0.5 of ≥ 10, open for 1 s", throughResty},
	{"by hand", "cenkalti/backoff, 3 retries from 200 ms, around gobreaker as above", byHand},
}

const address = "http://model.example.com/"

// through makes calls through an http.Client over the transport.
func through(transport http.RoundTripper) caller {
	client := &http.Client{Transport: transport}
	return func() bool { return succeeded(client.Get(address)) }
}

func succeeded(response *http.Response, err error) bool {
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func retryable(base http.RoundTripper) caller {
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = &http.Client{Transport: base}
	return func() bool { return succeeded(client.Get(address)) }
}

func failsafe(budgeted bool) func(http.RoundTripper) caller {
	return func(base http.RoundTripper) caller {
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

func throughHeimdall(base http.RoundTripper) caller {
	retrier := heimdall.NewRetrier(heimdall.NewExponentialBackoff(200*time.Millisecond, 10*time.Second, 2, 100*time.Millisecond))
	client := httpclient.NewClient(httpclient.WithHTTPClient(&http.Client{Transport: base}),
		httpclient.WithRetrier(retrier), httpclient.WithRetryCount(4))
	return func() bool { return succeeded(client.Get(address, nil)) }
}

func throughResty(base http.RoundTripper) caller {
	client := resty.New().SetTransport(base).SetRetryCount(3).
		SetCircuitBreaker(resty.NewCircuitBreakerRatio(0.5, 10, time.Second))
	return func() bool {
		response, err := client.R().Get(address)
		return err == nil && response.StatusCode() == http.StatusOK
	}
}

func byHand(base http.RoundTripper) caller {
	client, breaker := &http.Client{Transport: base}, newBreaker()
	return func() bool {
		policy := backoff.WithMaxRetries(backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond)), 3)
		err := backoff.Retry(func() error {
			_, err := breaker.Execute(func() (*http.Response, error) {
				response, err := client.Get(address)
				if !succeeded(response, err) {
					return nil, errServer
				}
				return response, nil
			})
			return err
		}, backoff.WithContext(policy, context.Background()))
		return err == nil
	}
}
