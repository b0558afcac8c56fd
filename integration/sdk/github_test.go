package sdk

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-github/v88/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// secondaryLimit knows the 403 by which GitHub limits the rate, and which says when to come back.
func secondaryLimit(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response != nil && response.StatusCode == http.StatusForbidden && response.Header.Get("Retry-After") != "" {
		return steadyhttp.Throttled
	}
	return steadyhttp.Unclassified
}

func newHub(client *http.Client, token string) (*github.Client, error) {
	return github.NewClient(github.WithHTTPClient(client), github.WithAuthToken(token))
}

func TestGitHubGetSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusBadGateway), fail(http.StatusServiceUnavailable), answerJSON(`{"full_name": "golang/go"}`))
	hub, err := newHub(at.steady(t), "token")
	require.NoError(t, err)
	ctx, assertStatuses := reported(t)
	repository, response, err := hub.Repositories.Get(ctx, "golang", "go")
	require.NoError(t, err)
	assert.Equal(t, "golang/go", repository.GetFullName())
	assert.Equal(t, 3, steadyhttp.Attempts(response.Response))
	assertStatuses(502, 503, 200)
	for _, arrived := range at.arrivals() {
		assert.Equal(t, "GET api.github.com/repos/golang/go", arrived.line)
		assert.Equal(t, "Bearer token", arrived.header.Get("Authorization"))
	}
}

func TestGitHubIssueIsNotCreatedTwice(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusInternalServerError))
	hub, err := newHub(at.steady(t), "token")
	require.NoError(t, err)
	ctx, assertStatuses := reported(t)
	_, _, err = hub.Issues.Create(ctx, "golang", "go", &github.IssueRequest{Title: github.Ptr("title")})
	var failed *github.ErrorResponse
	require.ErrorAs(t, err, &failed, "the SDK decodes the last answer")
	assertStatuses(500)
}

func TestGitHubSecondaryRateLimitIsWaitedOut(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusForbidden, "Retry-After", "1"), answerJSON(`{"number": 7}`))
	hub, err := newHub(at.steady(t, steadyhttp.WithClassifier(secondaryLimit)), "token")
	require.NoError(t, err)
	ctx, assertStatuses := reported(t)
	start := time.Now()
	issue, _, err := hub.Issues.Create(ctx, "golang", "go", &github.IssueRequest{Title: github.Ptr("title")})
	require.NoError(t, err)
	assert.Equal(t, 7, issue.GetNumber())
	assert.GreaterOrEqual(t, time.Since(start), time.Second)
	assertStatuses(403, 200)
	at.assertSameBodies(t, "{\"title\":\"title\"}\n")
}
