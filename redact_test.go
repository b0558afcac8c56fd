package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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
)

// Each secret is planted in a place of its own.
const (
	inUserinfo = "hunter-userinfo"
	inQuery    = "hunter-query"
	inFragment = "hunter-fragment"
	inHeader   = "hunter-header"
	inRequest  = "hunter-request-body"
	inResponse = "hunter-response-body"
	inAnswer   = "hunter-response-header"
	secret     = "hunter" // what all have in common
)

// newSecretRequest is a request full of secrets.
func newSecretRequest(t *testing.T, ctx context.Context, method, host string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://me:"+inUserinfo+"@"+host+"/things?token="+inQuery+"#"+inFragment, strings.NewReader(inRequest))
	require.NoError(t, err)
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"} {
		r.Header.Set(name, inHeader)
	}
	return r
}

// secretHandler is a server that repeats the secrets that it is told, and has its own.
func secretHandler(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/problem+json; name="+inAnswer)
	w.Header().Set("Set-Cookie", inAnswer)
	w.Header().Set("Location", "/elsewhere?"+inAnswer)
	code := 200
	_, _ = fmt.Sscanf(r.Header.Get("X-Answer"), "%d", &code)
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"title":"No such thing","detail":%q,"instance":"/i?%s","type":"/t?%s","secret":%q}`,
		inResponse+r.URL.RawQuery+string(content), inResponse, inResponse, r.Header)
}

// shownText collects everything that the package shows of calls.
type shownText struct {
	bytes.Buffer
	raw bool // whether an event's Err is shown as it is; a base may put anything into it
}

func (s *shownText) observe() steadyhttp.Option {
	text := steadyhttp.LogObserver(slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug})))
	records := slog.New(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
		text(ctx, e)
		steadyhttp.LogObserver(records)(ctx, e)
		records.Info("event", "event", e)
		if e.Request = nil; s.raw {
			fmt.Fprintf(s, "%v %+v\n", e, e)
		}
	})
}

func (s *shownText) add(err error) {
	fmt.Fprintf(s, "%v %+v %s %q\n", err, err, err, err)
	for _, handler := range []slog.Handler{slog.NewTextHandler(s, nil), slog.NewJSONHandler(s, nil)} {
		slog.New(handler).Error("failed", "err", err)
	}
}

func (s *shownText) addOutcome(t *testing.T, response *http.Response, err error) {
	t.Helper()
	if err != nil {
		s.add(err)
		return
	}
	if err := steadyhttp.CheckResponse(response); err != nil {
		s.add(err)
		s.WriteString(err.(*steadyhttp.ResponseError).URL)
	}
	require.NoError(t, response.Body.Close())
}

func assertNoSecret(t *testing.T, text string) {
	t.Helper()
	require.NotEmpty(t, text)
	for _, line := range strings.Split(text, "\n") {
		assert.NotContains(t, line, secret)
	}
}

func TestRedact_SecretsStayOutOfWhatIsShownOfResponses(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(secretHandler))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, code := range []int{200, 301, 400, 401, 404, 422, 429, 500, 501, 503} {
		seen := shownText{raw: true}
		transport := newTransport(t, nil, shortWaits, seen.observe(), steadyhttp.WithBreakerConsecutiveFailures(3, 0))
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			r := newSecretRequest(t, t.Context(), method, host)
			r.Header.Set("X-Answer", fmt.Sprint(code))
			response, err := transport.RoundTrip(r)
			seen.addOutcome(t, response, err)
		}
		transport.CloseIdleConnections()
		assertNoSecret(t, seen.String())
	}
}

func TestRedact_SecretsStayOutOfWhatIsShownOfErrors(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := listener.Addr().String()
	require.NoError(t, listener.Close())
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that a server does not notice that the client leaves
		<-r.Context().Done()
	}))
	defer hanging.Close()
	breaking := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer breaking.Close()

	for name, host := range map[string]string{
		"refused": refusing, "hangs": strings.TrimPrefix(hanging.URL, "http://"), "breaks": strings.TrimPrefix(breaking.URL, "http://"),
		"no port": "127.0.0.1:99999", "bad header": refusing,
	} {
		seen := shownText{raw: true}
		transport := newTransport(t, nil, shortWaits, seen.observe(), steadyhttp.WithAttemptTimeout(20*time.Millisecond))
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			r := newSecretRequest(t, ctx, http.MethodPut, host)
			if name == "bad header" {
				r.Header.Set("Authorization", inHeader+"\n")
			}
			response, err := transport.RoundTrip(r)
			seen.addOutcome(t, response, err)
			cancel()
		}
		transport.CloseIdleConnections()
		assertNoSecret(t, seen.String())
	}
}

// A base transport may say in its error what it was sent to, or what it called besides.
func TestRedact_SecretsInABasesErrorsStayOutOfErrorsAndLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := baseFunc{func(r *http.Request) (*http.Response, error) {
			nested := &url.Error{Op: "Post", URL: "https://me:" + inUserinfo + "@auth/token?a b=" + inQuery, Err: errReset}
			return nil, errors.Join(fmt.Errorf("sending to %s failed", r.URL), nested, fmt.Errorf("sending to %q failed", r.URL))
		}}
		var seen shownText
		transport := newTransport(t, base, seen.observe(), steadyhttp.WithBreakerConsecutiveFailures(3, 0))
		for range 3 {
			response, err := transport.RoundTrip(newSecretRequest(t, t.Context(), http.MethodPut, "api.example.com"))
			seen.addOutcome(t, response, err)
		}
		assertNoSecret(t, seen.String())
		assert.Contains(t, seen.String(), "sending to http://api.example.com/things failed")
	})
}

func TestRedact_QueriesOfTwoNestedCallsStayOutOfTheError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nested := func(secret string) error {
			return &url.Error{Op: "Post", URL: "https://auth.example.com/token?secret=" + secret, Err: errReset}
		}
		_, err := newTransport(t, newScript(fail(errors.Join(nested("hunter2"), nested("hunter3"))))).RoundTrip(newGet(t))
		assert.NotContains(t, err.Error(), "hunter")
	})
}

func TestRedact_SecretsInTheErrorsOfAnotherCallStayOutToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, address := range []string{"https://user:hunter2@auth.example.com/token?client_secret=hunter2", "https://auth.example.com/%zz?hunter2\"", "https://auth.example.com/token?client_secret=correct hunter2"} {
			nested := &url.Error{Op: "Post", URL: address, Err: &url.Error{Op: "Get", URL: address, Err: errReset}}
			_, err := newTransport(t, newScript(fail(fmt.Errorf("no token: %w", nested)))).RoundTrip(newPost(t))
			var failed *steadyhttp.Error
			require.ErrorAs(t, err, &failed)
			assert.NotContains(t, failed.Error(), "hunter2")
			assert.Contains(t, failed.Error(), "connection reset by a test")
		}
	})
}

func TestRedact_SecretsInAURLThatAnErrorMentionsStayOutToo(t *testing.T) {
	t.Parallel()
	for said, shown := range map[string]string{
		"dialing https://user:hunter2@api.example.com/a?token=hunter2: refused": "dialing https://api.example.com/a: refused",
		"proxy socks5://user:hunter2@10.0.0.1:1080 failed":                      "proxy socks5://10.0.0.1:1080 failed",
		"no route to https://api.example.com/a/b: refused":                      "no route to https://api.example.com/a/b: refused",
		"bad https://api.example.com/%zz?hunter2 and ftp://x/y#hunter2":         "bad (unreadable URL) and ftp://x/y",
		"open for https://[::1]:443: later (see https://a/?hunter2), or never":  "open for https://[::1]:443: later (see https://a/), or never",
		"said HTTP/1.1 // 10:30": "said HTTP/1.1 // 10:30",
	} {
		err := &steadyhttp.Error{Method: "GET", URL: targetURL, Attempts: 2, Stopped: steadyhttp.StopBudgetExhausted, Err: errors.New(said)}
		assert.EqualError(t, err, "steadyhttp: GET "+targetURL+" failed after 2 attempts (budget_exhausted): "+shown)
	}
}

func TestRedact_ErrorIsOneLine(t *testing.T) {
	t.Parallel()
	_, err := newTransport(t, newScript(fail(errors.Join(errReset, io.EOF)))).RoundTrip(newPost(t))
	assert.NotContains(t, err.Error(), "\n")
	assert.Contains(t, err.Error(), "test; EOF")
}

// A proxy's reason, a name in a certificate and an origin's key are other people's words.
func TestRedact_ErrorHasNoTerminalControlCharacters(t *testing.T) {
	t.Parallel()
	const nasty = "a\r\x1b[31mb\u2028c\u202ed\tß"
	for _, err := range []error{
		&steadyhttp.Error{Method: "GET", URL: targetURL, Attempts: 2, Err: errors.New(nasty)},
		&steadyhttp.Error{Method: "GET", URL: targetURL, Attempts: 2, Err: &steadyhttp.CircuitOpenError{Origin: nasty}},
		&steadyhttp.CircuitOpenError{Origin: nasty},
		&steadyhttp.CircuitOpenError{Origin: nasty, RetryAt: time.Now()},
	} {
		assert.Contains(t, err.Error(), "a  [31mb c d ß")
	}
	for _, byHand := range []error{
		&steadyhttp.Error{Method: "GE\n\x1bT", URL: "htt\n\x1bp://a", Attempts: 2},
		&steadyhttp.ResponseError{Method: "GE\n\x1bT", URL: "htt\n\x1bp://a", Attempts: 2},
	} {
		assert.Contains(t, byHand.Error(), "steadyhttp: GE  T htt  p://a ")
	}
}
