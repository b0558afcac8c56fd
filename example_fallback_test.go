package steadyhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A secondOrigin sends to another origin what the breaker of the first one rejected.
type secondOrigin struct {
	next http.RoundTripper // a *steadyhttp.Transport
	host string            // of the second origin, which serves the same
}

func (s secondOrigin) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(request)
	var sent *steadyhttp.Error // an open breaker inside it rejected a retry: the first attempt was sent
	if !errors.Is(err, steadyhttp.ErrCircuitOpen) || errors.As(err, &sent) {
		return response, err
	}
	other := request.Clone(request.Context())
	other.URL.Host, other.Host = s.host, ""
	if request.Body != nil && request.Body != http.NoBody {
		if request.GetBody == nil {
			return response, err // the body is closed
		}
		body, bodyErr := request.GetBody()
		if bodyErr != nil {
			return response, err
		}
		other.Body = body
	}
	return s.next.RoundTrip(other)
}

// Nothing was sent where a breaker rejected a call, so that even a POST may go elsewhere. The second origin has a breaker
// and a budget of its own.
func ExampleCircuitOpenError_secondOrigin() {
	server := steadyhttptest.NewTransport(steadyhttptest.Refused, steadyhttptest.Status(201))
	transport, err := steadyhttp.NewTransport(server,
		steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), // for the example
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: secondOrigin{transport, "eu.example.com"}}
	for range 2 {
		response, err := client.Post("https://us.example.com/orders", "text/plain", strings.NewReader("boots"))
		if err != nil {
			fmt.Println("the first call fails, as it must")
			continue
		}
		response.Body.Close()
		fmt.Println(response.StatusCode, "from", response.Request.URL.Host)
	}
	attempts := server.Attempts()
	fmt.Println(attempts[0].URL, attempts[1].URL, string(attempts[1].Body))
	// Output:
	// the first call fails, as it must
	// 201 from eu.example.com
	// https://us.example.com/orders https://eu.example.com/orders boots
}
