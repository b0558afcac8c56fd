package sdk

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/steadyhttp/steadyhttp"
)

var credentials = clientcredentials.Config{
	ClientID: "id", ClientSecret: "secret", TokenURL: "https://login.example.com/token",
	AuthStyle: oauth2.AuthStyleInHeader, // else oauth2 tries each refused request twice, to find out the style
}

func authorize(ctx context.Context, client *http.Client, credentials *clientcredentials.Config) *http.Client {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	return credentials.Client(steadyhttp.Idempotent(ctx)) // for the POSTs that fetch a token; calls have contexts of their own
}

// refused recognizes the error of a refused token, which a retry does not change.
func refused(_ *http.Request, _ *http.Response, err error) steadyhttp.Class {
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.Response.StatusCode < 500 {
		return steadyhttp.Permanent
	}
	return steadyhttp.Unclassified
}

func call(t *testing.T, client *http.Client, method string) (*http.Response, func(statuses ...int)) {
	t.Helper()
	ctx, assertStatuses := newReport(t)
	request, err := http.NewRequestWithContext(ctx, method, "https://api.example.com/cats", nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response, assertStatuses
}

func token(value string, expires int) http.HandlerFunc {
	content := map[int]string{0: "", 1: `, "expires_in": 1`}[expires]
	return respondJSON(`{"access_token": "` + value + `", "token_type": "Bearer"` + content + `}`)
}

func TestOAuth2_AboveRetriesTheTokenRequest(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), token("first", 0), status(http.StatusBadGateway), status(http.StatusOK))
	client := authorize(t.Context(), server.steadyClient(t), &credentials)
	response, assertStatuses := call(t, client, http.MethodGet)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, 2, steadyhttp.Attempts(response))
	assertStatuses(502, 200)
	server.assertLines(t, "POST login.example.com/token", "POST login.example.com/token", "GET api.example.com/cats", "GET api.example.com/cats")
	for _, received := range server.requests()[2:] {
		assert.Equal(t, "Bearer first", received.header.Get("Authorization"))
	}
}

func TestOAuth2_AboveRetriesNoUnsafeCall(t *testing.T) {
	t.Parallel()
	server := newService(t, token("first", 0), status(http.StatusInternalServerError))
	client := authorize(t.Context(), server.steadyClient(t), &credentials)
	response, assertStatuses := call(t, client, http.MethodPost)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assertStatuses(500)
	server.assertLines(t, "POST login.example.com/token", "POST api.example.com/cats")
}

// below returns a client whose transport is above oauth2's, so that each attempt has a valid token.
func below(t *testing.T, server *service, options ...steadyhttp.Option) *http.Client {
	t.Helper()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: server.base()})
	options = append(options, steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond))
	transport, err := steadyhttp.NewTransport(&oauth2.Transport{Source: credentials.TokenSource(ctx), Base: server.base()}, options...)
	require.NoError(t, err)
	return &http.Client{Transport: transport}
}

func TestOAuth2_BelowRenewsTheTokenBetweenAttempts(t *testing.T) {
	t.Parallel()
	server := newService(t, token("first", 1), status(http.StatusServiceUnavailable), token("second", 0), status(http.StatusOK))
	response, assertStatuses := call(t, below(t, server), http.MethodGet)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assertStatuses(503, 200)
	server.assertLines(t, "POST login.example.com/token", "GET api.example.com/cats", "POST login.example.com/token", "GET api.example.com/cats")
	assert.Equal(t, "Bearer second", server.requests()[3].header.Get("Authorization"))
}

func TestOAuth2_BelowNeedsAClassifierForARefusedToken(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusUnauthorized))
	_, err := below(t, server, steadyhttp.WithClassifier(refused)).Get("https://api.example.com/cats")
	var refusal *oauth2.RetrieveError
	require.ErrorAs(t, err, &refusal)
	server.assertLines(t, "POST login.example.com/token")
}
