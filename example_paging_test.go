package steadyhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// things are all of a list that comes in pages. Each page is a call of its own, with its own attempts.
func things(ctx context.Context, client *http.Client, first string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page := first; page != ""; {
			names, next, err := getPage(ctx, client, page)
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			page = next
		}
	}
}

// getPage returns the things of a page, and the URL of the next one, or "".
func getPage(ctx context.Context, client *http.Client, page string) (names []string, next string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	if err := steadyhttp.CheckResponse(response); err != nil {
		return nil, "", err // where the limit lasts too long, its RetryAfter says when to go on with this page
	}
	if err := json.NewDecoder(response.Body).Decode(&names); err != nil {
		return nil, "", err
	}
	return names, nextPage(response), nil
}

var relNext = regexp.MustCompile(`<([^>]*)>;\s*rel="next"`)

// nextPage is what the Link header field says (RFC 8288). It may be relative to the page.
func nextPage(response *http.Response) string {
	link := relNext.FindStringSubmatch(strings.Join(response.Header.Values("Link"), ","))
	if link == nil {
		return ""
	}
	target, err := url.Parse(link[1])
	if err != nil {
		return ""
	}
	return response.Request.URL.ResolveReference(target).String()
}

// A list in pages outlasts the server's limit: a page that was refused is asked for again when the server says.
func ExampleHintRateLimit_paging() {
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(200).Header("Link", `</things?page=2>; rel="next"`).Body(`["anvil", "ball"]`),
		steadyhttptest.Status(429).Header("X-RateLimit-Remaining", "0").Header("X-RateLimit-Reset", "0.03"),
		steadyhttptest.Status(200).Body(`["cat"]`),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits,
		steadyhttp.WithHints(steadyhttp.HintRateLimit),
		steadyhttp.WithMaxRetryAfter(5*time.Minute), // a list may take longer than a call of a user who waits
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for name, err := range things(context.Background(), client, "https://api.example.com/things") {
		fmt.Println(name, err)
	}
	fmt.Println(len(server.Attempts()), "attempts")
	// Output:
	// anvil <nil>
	// ball <nil>
	// cat <nil>
	// 3 attempts
}
