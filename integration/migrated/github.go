package migrated

import (
	"net/http"

	"github.com/gofri/go-github-ratelimit/v2/github_ratelimit"

	"github.com/steadyhttp/steadyhttp"
)

// go-github-ratelimit below go-github.

func githubBefore(base http.RoundTripper) (caller, error) {
	return github_ratelimit.NewClient(base), nil
}

func githubAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithHints(steadyhttp.HintGitHub),
		steadyhttp.WithOriginPause(100), // other calls wait as well
		steadyhttp.WithPauseKey(func(r *http.Request) string { return r.Header.Get("Authorization") }),
	)
}
