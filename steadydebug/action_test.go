package steadydebug_test

import (
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

func newWritable(t *testing.T, options ...steadyhttp.Option) (*steadyhttp.Transport, http.Handler) {
	t.Helper()
	transport := newTransport(t, answering, options...)
	call(t, transport, "https://api.example.com/")
	return transport, steadydebug.HandlerFor([]*steadyhttp.Transport{nil, transport}, steadydebug.Writable())
}

func TestAction_TripIsolateAndResetDoWhatTheySay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, handler := newWritable(t)
		do := func(fields ...string) steadyhttp.BreakerStatus {
			t.Helper()
			got := serve(handler, newPost(formOf(append(fields, "transport", "1", "origin", origin)...)))
			require.Equal(t, http.StatusSeeOther, got.Code, got.Body.String())
			return transport.Breaker(origin).Status()
		}
		status := do("action", "trip", "duration", "90s", "reason", " deploy ")
		assert.Equal(t, steadyhttp.BreakerOpen, status.State)
		assert.Equal(t, "deploy", status.Reason)
		assert.Equal(t, 90*time.Second, time.Until(status.RetryAt))

		status = do("action", "isolate", "reason", "maintenance", "duration", "nobody reads it")
		assert.Equal(t, "maintenance", status.Reason)
		assert.Zero(t, status.RetryAt)

		status = do("action", "reset", "reason", "")
		assert.Equal(t, steadyhttp.BreakerClosed, status.State)

		assert.Equal(t, "by hand", do("action", "isolate").Reason, "a reason may be left out")
		assert.Equal(t, "by hand", do("action", "isolate", "reason", "").Reason)
	})
}

func TestAction_LeadsBackToThePageWhereverItIsMounted(t *testing.T) {
	t.Parallel()
	_, handler := newWritable(t)
	mux := http.NewServeMux()
	mux.Handle("/debug/steadyhttp", handler)
	mux.Handle("/admin/", http.StripPrefix("/admin", handler))
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, back := range map[string]string{
		"/debug/steadyhttp": "/debug/steadyhttp?#o1-", "/admin/deep/page": "/admin/deep/page?#o1-",
		"/debug/steadyhttp?format=html&token=x": "/debug/steadyhttp?format=html#o1-",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(formOf("action", "reset", "transport", "1", "origin", origin).Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, http.MethodGet, response.Request.Method)
		assert.Contains(t, response.Request.URL.String(), server.URL+back)
	}
}

func TestAction_OfAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][2]string{
		"fetch metadata, cross-site": {"Sec-Fetch-Site", "cross-site"},
		"fetch metadata, same-site":  {"Sec-Fetch-Site", "same-site"},
		"origin":                     {"Origin", "https://evil.example.com"},
		"null origin":                {"Origin", "null"},
	} {
		transport, handler := newWritable(t)
		r := newPost(formOf("action", "isolate", "transport", "1", "origin", origin))
		r.Header.Set(headers[0], headers[1])
		assert.Equal(t, http.StatusForbidden, serve(handler, r).Code, name)
		assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(origin).Status().State, name)
	}
}

func TestAction_OfThePageItselfAndOfProgramsIsDone(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][2]string{
		"fetch metadata": {"Sec-Fetch-Site", "same-origin"},
		"typed":          {"Sec-Fetch-Site", "none"},
		"origin":         {"Origin", "http://example.com"}, // httptest's host
		"curl":           {"User-Agent", "curl/8"},
	} {
		transport, handler := newWritable(t)
		r := newPost(formOf("action", "isolate", "transport", "1", "origin", origin))
		r.Header.Set(headers[0], headers[1])
		assert.Equal(t, http.StatusSeeOther, serve(handler, r).Code, name)
		assert.Equal(t, steadyhttp.BreakerOpen, transport.Breaker(origin).Status().State, name)
	}
}

func TestAction_IsNotDoneByGet(t *testing.T) {
	t.Parallel()
	transport, handler := newWritable(t)
	form := formOf("action", "isolate", "transport", "1", "origin", origin)
	assert.Equal(t, http.StatusOK, serve(handler, httptest.NewRequest(http.MethodGet, "/?"+form.Encode(), nil)).Code)
	assert.Equal(t, http.StatusBadRequest, serve(handler, httptest.NewRequest(http.MethodPost, "/?"+form.Encode(), nil)).Code)
	assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(origin).Status().State)
}

func TestAction_WithoutWritableThereIsNone(t *testing.T) {
	t.Parallel()
	transport, _ := newWritable(t)
	got := serve(steadydebug.Handler(transport), newPost(formOf("action", "isolate", "transport", "0", "origin", origin)))
	assert.Equal(t, http.StatusMethodNotAllowed, got.Code)
	assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(origin).Status().State)
	assert.NotContains(t, get(steadydebug.Handler(transport), "text/html").Body.String(), "<form")
}

func TestAction_WrongInputIsA400ThatNamesTheValue(t *testing.T) {
	t.Parallel()
	transport, handler := newWritable(t)
	long := strings.Repeat("x", 201)
	for _, c := range []struct {
		name, value string // instead of what would be right; "-" leaves the field out
		named       string
	}{
		{"action", "destroy", `there is no action "destroy"`},
		{"action", "Trip", `"Trip"`},
		{"action", "-", "action is missing"},
		{"transport", "-", "transport is missing"},
		{"transport", "2", `there is no transport "2"`},
		{"transport", "0", `there is no transport "0"`}, // it is nil
		{"transport", "-1", `"-1"`},
		{"transport", "+1", `"+1"`},
		{"transport", "", `""`},
		{"transport", "99999999999999999999", `"99999999999999999999"`},
		{"origin", "-", "origin is missing"},
		{"origin", "", `there is no origin ""`},
		{"origin", "https://api.example.com", `"https://api.example.com"`},
		{"origin", "https://other.example.com:443", `"https://other.example.com:443"`},
		{"origin", strings.Repeat("y", 5000), "… (5000 bytes)"},
		{"reason", long, "is longer than 200 bytes"},
		{"reason", "two\nlines", `"two\nlines"`},
		{"reason", "\x1b[31m", `"\x1b[31m"`},
		{"reason", "\u202eback", "characters that cannot be shown"},
		{"reason", "\xff", `"\xff"`},
		{"duration", "-", "duration is missing"},
		{"duration", "", `the duration "" is none`},
		{"duration", "5", `"5"`},
		{"duration", "0s", `"0s"`},
		{"duration", "-1m", `"-1m"`},
		{"duration", "9999999h", `"9999999h"`},
	} {
		form := formOf("action", "trip", "transport", "1", "origin", origin, "reason", "deploy", "duration", "1m")
		form.Set(c.name, c.value)
		if c.value == "-" {
			form.Del(c.name)
		}
		got := serve(handler, newPost(form))
		assert.Equal(t, http.StatusBadRequest, got.Code, "%s=%q", c.name, c.value)
		assert.Contains(t, got.Body.String(), c.named)
		assert.Less(t, got.Body.Len(), 800)
	}
	assert.Empty(t, transport.Origins()[0].Changes, "nothing was done")
	assert.Len(t, transport.Origins(), 1, "nothing was remembered")
}

func TestAction_WrongFormIsA400(t *testing.T) {
	t.Parallel()
	transport, handler := newWritable(t)
	right := formOf("action", "isolate", "transport", "1", "origin", origin)
	for name, r := range map[string]*http.Request{
		"twice":       newPost(url.Values{"action": {"isolate", "reset"}, "transport": {"1"}, "origin": {origin}}),
		"two reasons": newPost(url.Values{"action": {"isolate"}, "transport": {"1"}, "origin": {origin}, "reason": {"a", "b"}}),
		"escape":      httptest.NewRequest(http.MethodPost, "/", strings.NewReader("action=%zz")),
		"huge":        newPost(url.Values{"reason": {strings.Repeat("x", 1<<20)}}),
		"query":       httptest.NewRequest(http.MethodPost, "/?format=xml", strings.NewReader(right.Encode())),
		"JSON":        httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"action":"isolate"}`)),
	} {
		if r.Header.Get("Content-Type") == "" && name != "JSON" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		got := serve(handler, r)
		assert.Equal(t, http.StatusBadRequest, got.Code, name)
		assert.NotEmpty(t, got.Body.String())
	}
	assert.Empty(t, transport.Origins()[0].Changes, "nothing was done")
}

func TestAction_WithoutBreakersIsA400AndHasNoForm(t *testing.T) {
	t.Parallel()
	_, handler := newWritable(t, steadyhttp.WithoutBreaker())
	got := serve(handler, newPost(formOf("action", "reset", "transport", "1", "origin", origin)))
	assert.Equal(t, http.StatusBadRequest, got.Code)
	assert.Contains(t, got.Body.String(), "transport 1 has no breakers")
	assert.NotContains(t, get(handler, "text/html").Body.String(), "<form")
}

// A user's name of an origin may be anything: the form must still find it, as browsers send it.
func TestAction_FindsOriginsWithOddNames(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"api.example.com/reports": "api.example.com/reports", "a\nb": "a\r\nb", "a\rb": "a\r\nb", "a\xffb": "a\uFFFDb",
		`"><script>alert(1)</script>`: `"><script>alert(1)</script>`, "a\x00b": "a\uFFFDb", "https://x": "https://x", "x:y": "x:y",
	} {
		transport, handler := newWritable(t, steadyhttp.WithOriginKey(func(*http.Request) string { return name }))
		got := serve(handler, newPost(formOf("action", "isolate", "transport", "1", "origin", sent)))
		require.Equal(t, http.StatusSeeOther, got.Code, "%q: %s", name, got.Body)
		require.Len(t, transport.Origins(), 1, "%q", name)
		assert.Equal(t, steadyhttp.BreakerOpen, transport.Origins()[0].Breaker.State, "%q", name)
		page := get(handler, "text/html").Body.String()
		assert.NotContains(t, page, "<script>alert")
	}
}
