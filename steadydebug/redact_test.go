package steadydebug_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

const secret = "hunter"

// newSecretRequest has a secret in every place where one may be.
func newSecretRequest(t *testing.T, address, answer string) *http.Request {
	t.Helper()
	target, err := url.Parse(address)
	require.NoError(t, err)
	target.User = url.UserPassword(secret+"-user", secret+"-password")
	target.Path, target.RawQuery, target.Fragment = "/"+secret+"-path", "token="+secret+"-query", secret+"-fragment"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, target.String(), strings.NewReader(secret+"-body"))
	require.NoError(t, err)
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key"} {
		r.Header.Set(name, secret+"-header")
	}
	r.Header.Set("X-Answer", answer)
	return r
}

// secretServer repeats secrets in all that it says.
func secretServer(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	w.Header().Set("Set-Cookie", secret)
	w.Header().Set("Retry-After", "1")
	code := 200
	_, _ = fmt.Sscanf(r.Header.Get("X-Answer"), "%d", &code)
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "%s %s", content, r.URL.RawQuery)
}

func TestRedact_SecretsStayOutOfThePage(t *testing.T) {
	t.Parallel()
	bases := map[string]baseFunc{
		"answers": func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			secretServer(w, r)
			return w.Result(), nil
		},
		"fails": func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("sending to %s with %v failed", r.URL, r.Header)
		},
	}
	for name, base := range bases {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, base, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithOriginPause(0),
				steadyhttp.WithPauseKey(func(r *http.Request) string { return r.Header.Get("Authorization") }))
			handler := steadydebug.HandlerFor([]*steadyhttp.Transport{transport}, steadydebug.Writable())
			var seen string
			for _, answer := range []string{"200", "404", "503", "503", "503", "reset", "429", "429", "429", "429"} {
				if answer == "reset" {
					transport.Breaker(origin).Reset()
				}
				if response, err := transport.RoundTrip(newSecretRequest(t, "https://api.example.com", answer)); err == nil {
					require.NoError(t, response.Body.Close())
				}
				for _, accept := range []string{"text/html", "application/json", "text/plain"} {
					seen += get(handler, accept).Body.String()
				}
				time.Sleep(200 * time.Millisecond)
			}
			assert.NotContains(t, seen, secret, name)
			assertContainsAll(t, seen, origin, "1 origin: 1 open")
			assert.Equal(t, name == "answers", strings.Contains(seen, "1 origin: 1 paused"), "the page had something to tell")
		})
	}
}

// The page is asked by somebody, too: what is secret in that request is not repeated, and no other header is set from it.
func TestRedact_TheRequestForThePageIsNotRepeated(t *testing.T) {
	t.Parallel()
	transport, handler := newWritable(t)
	r := newSecretRequest(t, "http://example.com", "")
	r.Method, r.Body = http.MethodGet, http.NoBody
	assertNotRepeated(t, serve(handler, r))
	post := newPost(formOf("action", "reset", "transport", "1", "origin", origin, "token", secret))
	post.URL.RawQuery = "token=" + secret
	post.Header.Set("Authorization", secret)
	assertNotRepeated(t, serve(handler, post))
	assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(origin).Status().State)
}

func assertNotRepeated(t *testing.T, got *httptest.ResponseRecorder) {
	t.Helper()
	assert.NotContains(t, got.Body.String(), secret)
	assert.NotContains(t, fmt.Sprint(got.Header()), secret)
}

// A name is the user's word, and a reason anybody's.
func TestRedact_NamesAndReasonsCannotSteerATerminalOrABrowser(t *testing.T) {
	t.Parallel()
	const nasty = "a\x1b[31m\u202e<img src=x onerror=alert(1)>\n"
	transport := newTransport(t, answering, steadyhttp.WithOriginKey(func(*http.Request) string { return nasty }))
	call(t, transport, "https://api.example.com/")
	transport.Breaker(nasty).Isolate(nasty)
	text := get(steadydebug.Handler(transport), "text/plain").Body.String()
	assertContainsAll(t, text, "\na [31m <img src=x onerror=alert(1)> \n", "isolated; a [31m <img")
	page := get(steadydebug.Handler(transport), "text/html").Body.String()
	assert.Contains(t, page, "a [31m &lt;img src=x onerror=alert(1)&gt; </th>")
	json := get(steadydebug.Handler(transport), "application/json").Body.String()
	assert.Contains(t, json, `"origin": "a\u001b[31m`)
	for _, shown := range []string{text, page, json} {
		assert.NotContains(t, shown, "\x1b")
	}
	assert.NotContains(t, page, "<img")
	assert.NotContains(t, text+page, "\u202e")
}
