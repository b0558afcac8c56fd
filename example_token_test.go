package steadyhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A bearerTransport adds a token to each call. If the server refuses it with a 401, the call is sent once more, with
// a fresh one.
type bearerTransport struct {
	next  http.RoundTripper                                         // a *steadyhttp.Transport
	token func(ctx context.Context, refused string) (string, error) // never the refused one; safe for concurrent use
}

func (b bearerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.token(request.Context(), "")
	if err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	response, err := b.next.RoundTrip(withBearer(request, token))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	again := withBearer(request, "")
	if request.Body != nil && request.Body != http.NoBody {
		if request.GetBody == nil {
			return response, nil // the body is used up
		}
		if again.Body, err = request.GetBody(); err != nil {
			return response, nil
		}
	}
	fresh, err := b.token(request.Context(), token)
	if err != nil {
		if again.Body != nil {
			again.Body.Close()
		}
		return response, nil // the 401 says more
	}
	io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10)) // so that the connection is used again
	response.Body.Close()
	return b.next.RoundTrip(withBearer(again, fresh))
}

func withBearer(request *http.Request, token string) *http.Request {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return request
}

// A source of tokens belongs above the Transport. When it fails, that says nothing about the server.
func ExampleNewTransport_freshToken() {
	tokens := []string{"expired", "fresh"}
	token := func(_ context.Context, refused string) (string, error) {
		if refused == tokens[0] {
			tokens = tokens[1:] // in earnest: ask the authorization server, through a client of its own
		}
		return tokens[0], nil
	}
	server := steadyhttptest.NewTransport(steadyhttptest.Status(401), steadyhttptest.Status(503), steadyhttptest.Status(200))
	transport, err := steadyhttp.NewTransport(server, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: bearerTransport{transport, token}}
	request, err := http.NewRequest(http.MethodPut, "https://api.example.com/things/7", strings.NewReader("a thing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode)
	for _, attempt := range server.Attempts() {
		fmt.Println(attempt.Header.Get("Authorization"), string(attempt.Body))
	}
	// Output:
	// 200
	// Bearer expired a thing
	// Bearer fresh a thing
	// Bearer fresh a thing
}
