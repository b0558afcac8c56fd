package steadyhttp_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A hmacTransport signs each attempt with the time at which it is sent: a signature is valid for seconds, and a retry may be
// a minute later.
type hmacTransport struct {
	base http.RoundTripper
	key  func() ([]byte, error)
}

func (h hmacTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	key, err := h.key()
	if err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, steadyhttp.LocalError(err) // not the server's doing: neither retried nor counted
	}
	signed := request.Clone(request.Context()) // a RoundTripper must not change the request
	signed.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintln(mac, signed.Method, signed.URL.Path, signed.Header.Get("Date"), steadyhttp.AttemptFromContext(signed.Context()))
	signed.Header.Set("Signature", hex.EncodeToString(mac.Sum(nil)))
	return h.base.RoundTrip(signed)
}

// What each attempt needs anew, such as a signature, belongs below the Transport, into its base.
func ExampleNewTransport_signEachAttempt() {
	keys := [][]byte{[]byte("a key"), []byte("a key")}
	nextKey := func() ([]byte, error) {
		if len(keys) == 0 {
			return nil, errors.New("the key is locked")
		}
		key := keys[0]
		keys = keys[1:]
		return key, nil
	}
	server := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(200))
	client, err := steadyhttp.Wrap(&http.Client{Transport: hmacTransport{server, nextKey}}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://api.example.com/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	attempts := server.Attempts()
	fmt.Println(response.StatusCode, "after", len(attempts))
	fmt.Println("signed anew:", attempts[0].Header.Get("Signature") != attempts[1].Header.Get("Signature"))

	_, err = client.Get("https://api.example.com/things")
	fmt.Println(err)
	// Output:
	// 200 after 2
	// signed anew: true
	// Get "https://api.example.com/things": the key is locked
}
