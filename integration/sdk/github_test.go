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

// secondaryLimit recognizes a 403 of GitHub's secondary rate limit, which says when to come back.
func secondaryLimit(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response != nil && response.StatusCode == http.StatusForbidden && response.Header.Get("Retry-After") != "" {
		return steadyhttp.Throttled
	}
	return steadyhttp.Unclassified
}

func newGitHub(client *http.Client, token string) (*github.Client, error) {
	return github.NewClient(github.WithHTTPClient(client), github.WithAuthToken(token))
}

func TestGitHub_GetSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusBadGateway), status(http.StatusServiceUnavailable), respondJSON(`{"full_name": "golang/go"}`))
	client, err := newGitHub(server.steadyClient(t), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	repository, response, err := client.Repositories.Get(ctx, "golang", "go")
	require.NoError(t, err)
	assert.Equal(t, "golang/go", repository.GetFullName())
	assert.Equal(t, 3, steadyhttp.Attempts(response.Response))
	assertStatuses(502, 503, 200)
	for _, received := range server.requests() {
		assert.Equal(t, "GET api.github.com/repos/golang/go", received.line)
		assert.Equal(t, "Bearer token", received.header.Get("Authorization"))
	}
}

func TestGitHub_IssueIsNotCreatedTwice(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusInternalServerError))
	client, err := newGitHub(server.steadyClient(t), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	_, _, err = client.Issues.Create(ctx, "golang", "go", &github.IssueRequest{Title: github.Ptr("title")})
	var failed *github.ErrorResponse
	require.ErrorAs(t, err, &failed, "the SDK decodes the last response")
	assertStatuses(500)
}

func TestGitHub_SecondaryRateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusForbidden, "Retry-After", "1"), respondJSON(`{"number": 7}`))
	client, err := newGitHub(server.steadyClient(t, steadyhttp.WithClassifier(secondaryLimit)), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	start := time.Now()
	issue, _, err := client.Issues.Create(ctx, "golang", "go", &github.IssueRequest{Title: github.Ptr("title")})
	require.NoError(t, err)
	assert.Equal(t, 7, issue.GetNumber())
	assert.GreaterOrEqual(t, time.Since(start), time.Second)
	assertStatuses(403, 200)
	server.assertSameBodies(t, "{\"title\":\"title\"}\n")
}
