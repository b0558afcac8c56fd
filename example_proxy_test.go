package steadyhttp_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// newProxy returns a reverse proxy that retries.
func newProxy(target *url.URL, transport *steadyhttp.Transport) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:    transport,
		ErrorHandler: respondError,
	}
}

// respondError responds for a server that did not. By default the response of a ReverseProxy is then always a 502.
func respondError(w http.ResponseWriter, _ *http.Request, err error) {
	var open *steadyhttp.CircuitOpenError
	switch {
	case errors.As(err, &open):
		seconds := max(1, math.Ceil(time.Until(open.RetryAt).Seconds()))
		w.Header().Set("Retry-After", strconv.FormatFloat(seconds, 'f', 0, 64))
		w.WriteHeader(http.StatusServiceUnavailable) // nobody was asked: try later
	case errors.Is(err, steadyhttp.ErrAttemptTimeout):
		w.WriteHeader(http.StatusGatewayTimeout)
	default:
		w.WriteHeader(http.StatusBadGateway)
	}
}

// Through a reverse proxy an open breaker is a 503 with Retry-After, which clients understand, and not a 502.
func ExampleCircuitOpenError_reverseProxy() {
	server := steadyhttptest.NewTransport(steadyhttptest.Refused)
	transport, err := steadyhttp.NewTransport(server, shortWaits,
		steadyhttp.WithReplayBuffer(64<<10),                                            // a proxied body has no GetBody
		steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), // for the example
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := newProxy(&url.URL{Scheme: "http", Host: "backend.example.com"}, transport)
	for range 2 {
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Printf("%d, Retry-After: %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	// Output:
	// 502, Retry-After: ""
	// 503, Retry-After: "1"
}
