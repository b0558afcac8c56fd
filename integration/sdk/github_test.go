package sdk

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-github/v88/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// githubLimits waits for GitHub's limits, and holds back the other calls that they are about.
func githubLimits() []steadyhttp.Option {
	return []steadyhttp.Option{
		steadyhttp.WithHints(steadyhttp.HintGitHub),
		steadyhttp.WithOriginPause(100),
		steadyhttp.WithPauseKey(func(r *http.Request) string { return r.Header.Get("Authorization") }),
	}
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
	client, err := newGitHub(server.steadyClient(t, githubLimits()...), "token")
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

func TestGitHub_PrimaryRateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	soon := fmt.Sprint(time.Now().Unix() + 2)
	server := newService(t, status(http.StatusForbidden, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", soon), respondJSON(`{"full_name": "golang/go"}`))
	client, err := newGitHub(server.steadyClient(t, githubLimits()...), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	repository, _, err := client.Repositories.Get(ctx, "golang", "go")
	require.NoError(t, err)
	assert.Equal(t, "golang/go", repository.GetFullName())
	assertStatuses(403, 200)
}

// TestGitHub_LimitThatIsFarAwayIsTheSDKsError shows that a reset beyond WithMaxRetryAfter is returned at once, as the SDK's own error.
func TestGitHub_LimitThatIsFarAwayIsTheSDKsError(t *testing.T) {
	t.Parallel()
	far := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	server := newService(t, status(http.StatusForbidden, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", far))
	client, err := newGitHub(server.steadyClient(t, githubLimits()...), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	_, _, err = client.Repositories.Get(ctx, "golang", "go")
	var limited *github.RateLimitError
	require.ErrorAs(t, err, &limited)
	assertStatuses(403)
}

func TestGitHub_MissingPermissionIsNotRetried(t *testing.T) {
	t.Parallel()
	server := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-GitHub-Request-Id", "C0DE:1")
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message": "Resource not accessible by integration"}`)
	})
	client, err := newGitHub(server.steadyClient(t, githubLimits()...), "token")
	require.NoError(t, err)
	ctx, assertStatuses := newReport(t)
	_, _, err = client.Repositories.Get(ctx, "golang", "go")
	var failed *github.ErrorResponse
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "Resource not accessible by integration", failed.Message, "the body is put back")
	assertStatuses(403)
}
