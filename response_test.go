package steadyhttp_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// untouchableBody fails the test that reads it.
type untouchableBody struct{ *testing.T }

func (u untouchableBody) Read([]byte) (int, error) { u.Error("read"); return 0, io.EOF }

func (u untouchableBody) Write([]byte) (int, error) { u.Error("written"); return 0, io.EOF }

func (u untouchableBody) Close() error { u.Error("closed"); return nil }

func TestResponseError_SuccessIsNoneAndIsNotRead(t *testing.T) {
	t.Parallel()
	for code := 100; code < 400; code++ {
		response := newResponse(code, nil)
		connection := untouchableBody{t}
		response.Body = connection
		assert.True(t, steadyhttp.CheckResponse(response) == nil, code)
		assert.Equal(t, connection, response.Body)
	}
}

func TestResponseError_EveryOtherStatusIsOneOfItsClass(t *testing.T) {
	t.Parallel()
	for code := range 1000 {
		if code >= 100 && code < 400 {
			continue
		}
		failed := checkResponse(t, newResponse(code, strings.NewReader("")))
		assert.Equal(t, code, failed.StatusCode)
		assert.Equal(t, steadyhttp.Classify(nil, &http.Response{StatusCode: code}, nil), failed.Class)
	}
}

func TestResponseError_HasEverythingAboutTheResponse(t *testing.T) {
	t.Parallel()
	response := newResponse(503, strings.NewReader(`{"title":"Closed","detail":"until noon"}`), "Retry-After", "30",
		"Content-Type", "application/problem+json", "X-Request-Id", "abc-123")
	response.Request.Method = ""
	response.Request.URL, _ = url.Parse("https://user:hunter2@api.example.com/a%2Fb?token=hunter2#hunter2")
	assert.Equal(t, &steadyhttp.ResponseError{
		Method: "GET", URL: "https://api.example.com/a%2Fb", StatusCode: 503, Class: steadyhttp.Transient,
		RetryAfter: 30 * time.Second, RequestID: "abc-123", Attempts: 1,
		Problem: &steadyhttp.Problem{Type: "about:blank", Title: "Closed", Detail: "until noon"},
		Body:    []byte(`{"title":"Closed","detail":"until noon"}`),
	}, steadyhttp.CheckResponse(response))
}

func TestResponseError_IsOneLine(t *testing.T) {
	t.Parallel()
	titled := func(title string) *steadyhttp.Problem { return &steadyhttp.Problem{Title: title, Detail: "hunter2"} }
	for want, failed := range map[string]*steadyhttp.ResponseError{
		"steadyhttp: GET https://a/b answered 404 Not Found after 1 attempt (client fault)":                  {Method: "GET", URL: "https://a/b", StatusCode: 404, Class: steadyhttp.ClientFault, Attempts: 1, Body: []byte("hunter2"), RequestID: "hunter2"},
		"steadyhttp: PUT https://a/b answered 503 Service Unavailable after 4 attempts (server fault): Gone": {Method: "PUT", URL: "https://a/b", StatusCode: 503, Class: steadyhttp.Transient, Attempts: 4, Problem: titled("Gone")},
		"steadyhttp: answered 799 after 2 attempts (throttled)":                                              {StatusCode: 799, Class: steadyhttp.Throttled, Attempts: 2, Problem: titled(" \n")},
		"steadyhttp: GE T answered 501 Not Implemented after 1 attempt (permanent fault): a  b c":            {Method: "GE\nT", StatusCode: 501, Class: steadyhttp.Permanent, Attempts: 1, Problem: titled("a\r\nb\u2028c")},
		"steadyhttp: answered 200 OK after 0 attempts (no fault): " + strings.Repeat("é", 128):               {StatusCode: 200, Class: steadyhttp.Success, Problem: titled(strings.Repeat("é", 128))},
		"steadyhttp: answered 200 OK after 1 attempt (canceled): " + strings.Repeat("é", 128) + "…":          {StatusCode: 200, Class: steadyhttp.Canceled, Attempts: 1, Problem: titled(strings.Repeat("é", 129))},
		"steadyhttp: answered 200 OK after 1 attempt (unclassified): x" + strings.Repeat("é", 127) + "…":     {StatusCode: 200, Attempts: 1, Problem: titled("x" + strings.Repeat("é", 129))},
	} {
		assert.EqualError(t, failed, want)
	}
}

func TestResponseError_BodyStaysReadableWhateverItsLength(t *testing.T) {
	t.Parallel()
	const limit = 8 << 10
	for _, length := range []int{0, 1, limit - 1, limit, limit + 1, 1 << 20} {
		for name, around := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
		} {
			content := bytes.Repeat([]byte("0123456789abcde\n"), length/16+1)[:length]
			source := &trackedBody{Reader: around(bytes.NewReader(content))}
			response := newResponse(500, nil)
			response.Body = source
			for range 2 { // again changes nothing
				failed := checkResponse(t, response)
				require.Equal(t, string(content[:min(length, limit)]), string(failed.Body), "%s %d", name, length)
				clear(failed.Body) // is the caller's
			}
			require.Zero(t, source.closes())
			read, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, read), "%s %d", name, length)
			require.NoError(t, response.Body.Close())
			require.Equal(t, 1, source.closes())
		}
	}
}

func TestResponseError_ErrorOfReadingTheBodyComesWhereItCame(t *testing.T) {
	t.Parallel()
	once := io.MultiReader(strings.NewReader("12345"), iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("67"))))
	response := newResponse(500, once) // which goes on behind its error
	assert.Equal(t, "123456", string(checkResponse(t, response).Body))
	read, err := io.ReadAll(response.Body)
	assert.Equal(t, "123456", string(read))
	assert.ErrorIs(t, err, iotest.ErrTimeout)
	_, err = response.Body.Read(make([]byte, 1))
	assert.ErrorIs(t, err, iotest.ErrTimeout)
}

func TestResponseError_MissingPartsAreLeftOut(t *testing.T) {
	t.Parallel()
	assert.EqualError(t, steadyhttp.CheckResponse(nil), "steadyhttp: nil Response")
	assert.EqualError(t, steadyhttp.CheckResponse(&http.Response{StatusCode: 404}), "steadyhttp: answered 404 Not Found after 1 attempt (client fault)")

	bare := &http.Response{StatusCode: 404, Request: &http.Request{}}
	assert.EqualError(t, steadyhttp.CheckResponse(bare), "steadyhttp: GET answered 404 Not Found after 1 attempt (client fault)")
	assert.Nil(t, bare.Body)

	head := &http.Response{StatusCode: 404, ContentLength: 1000, Body: http.NoBody}
	assert.Empty(t, checkResponse(t, head).Body)
	assert.Equal(t, http.NoBody, head.Body)
}

func TestResponseError_ConnectionOfA101IsNotTouched(t *testing.T) {
	t.Parallel()
	connection := untouchableBody{t}
	upgraded := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: connection}, nil
	}
	response, err := newTransport(t, baseFunc{upgraded}, classifyAs(steadyhttp.Permanent)).RoundTrip(newGet(t))
	require.NoError(t, err)
	assert.Equal(t, steadyhttp.Permanent, checkResponse(t, response).Class)
	assert.Equal(t, connection, response.Body)
}

func TestResponseError_KeepsTheClassThatTheTransportGave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code int
		said steadyhttp.Class
		want steadyhttp.Class
	}{
		{200, steadyhttp.ClientFault, steadyhttp.ClientFault},
		{200, steadyhttp.Unclassified, steadyhttp.Success},
		{403, steadyhttp.Success, steadyhttp.Success},
		{403, steadyhttp.Throttled, steadyhttp.Throttled},
		{404, steadyhttp.ClientFault, steadyhttp.ClientFault},
		{204, steadyhttp.Canceled, steadyhttp.Canceled},
	} {
		response, err := newTransport(t, newScript(status(c.code)), classifyAs(c.said)).RoundTrip(newGet(t))
		require.NoError(t, err)
		if c.want == steadyhttp.Success {
			assert.NoError(t, steadyhttp.CheckResponse(response))
			continue
		}
		assert.Equal(t, c.want, checkResponse(t, response).Class)
		assert.Equal(t, 1, checkResponse(t, response).Attempts)
	}
}

func TestResponseError_ClassOfAnotherCallDoesNotCount(t *testing.T) {
	t.Parallel()
	first, err := newTransport(t, newScript(status(200)), classifyAs(steadyhttp.Permanent)).RoundTrip(newGet(t))
	require.NoError(t, err)
	require.Error(t, steadyhttp.CheckResponse(first))
	second, err := newTransport(t, newScript(status(200))).RoundTrip(newRequest(t, first.Request.Context(), http.MethodGet, ""))
	require.NoError(t, err)
	assert.NoError(t, steadyhttp.CheckResponse(second))
}

func TestResponseError_ClassifierThatChecksSeesNoOtherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		retried, err := newTransport(t, newScript(status(503), status(200)), classifyAs(steadyhttp.Unclassified)).RoundTrip(newGet(t))
		require.NoError(t, err)
		overruled, err := newTransport(t, newScript(status(200)), classifyAs(steadyhttp.Permanent)).RoundTrip(newRequest(t, retried.Request.Context(), http.MethodGet, ""))
		require.NoError(t, err)
		checks := 0
		checking := steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			checks++
			assert.Equal(t, 1, steadyhttp.Attempts(response))
			assert.NoError(t, steadyhttp.CheckResponse(response))
			return steadyhttp.Unclassified
		})
		for _, earlier := range []*http.Response{retried, overruled} {
			_, err = newTransport(t, newScript(status(200)), checking).RoundTrip(newRequest(t, earlier.Request.Context(), http.MethodGet, ""))
			require.NoError(t, err)
		}
		assert.Equal(t, 2, checks)
	})
}

func TestResponseError_CountsTheAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		response, err := newTransport(t, newScript(status(503)), steadyhttp.WithMaxAttempts(3), steadyhttp.WithoutBreaker()).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.EqualError(t, steadyhttp.CheckResponse(response), "steadyhttp: GET "+targetURL+" answered 503 Service Unavailable after 3 attempts (server fault)")
	})
}

func TestResponseError_RequestIDIsTheFirstThatLooksLikeOne(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 128)
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, ""},
		{[]string{"X-Request-ID", "a/b+c=", "Request-Id", "second"}, "a/b+c="},
		{[]string{"X-Request-Id", "", "Request-Id", "b"}, "b"},
		{[]string{"X-Request-Id", "two words", "X-Amzn-RequestId", "c"}, "c"},
		{[]string{"X-Request-Id", "nö", "x-amz-request-id", "d"}, "d"},
		{[]string{"X-Request-Id", long + "x", "X-Ms-Request-Id", long}, long},
		{[]string{"X-Request-Id", "a\x7f", "X-GitHub-Request-Id", "e"}, "e"},
		{[]string{"X-Correlation-Id", "f", "CF-Ray", "g"}, "f"},
		{[]string{"CF-Ray", "g"}, "g"},
	} {
		assert.Equal(t, c.want, checkResponse(t, newResponse(500, strings.NewReader(""), c.header...)).RequestID, "%v", c.header)
	}
}

// checkingBase is a base transport's caller who wants errors for statuses.
type checkingBase struct{ http.RoundTripper }

func (c checkingBase) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if err := steadyhttp.CheckResponse(response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

func TestResponseError_IsFoundThroughAURLError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(302, "Location", "/moved?token=hunter2"), status(503), status(404))
		client := &http.Client{Transport: checkingBase{newTransport(t, server)}}
		_, err := client.Get(targetURL)
		var outer *url.Error
		require.ErrorAs(t, err, &outer)
		var failed *steadyhttp.ResponseError
		require.ErrorAs(t, err, &failed)
		assert.EqualError(t, failed, "steadyhttp: GET https://api.example.com/moved answered 404 Not Found after 2 attempts (client fault)")
		assertClosedOnce(t, server, nil)
	})
}

func TestResponseError_OfABaseKeepsItsClass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(404))
		transport := newTransport(t, checkingBase{server})
		_, err := transport.RoundTrip(newGet(t))
		assert.Len(t, server.Attempts(), 2, "a 404 is not sent again, whoever makes an error of it")
		assert.Equal(t, steadyhttp.ClientFault, steadyhttp.Classify(nil, nil, err))
		assert.Equal(t, uint32(1), transport.Breakers()[0].Failures)
	})
}

func TestResponseError_IsLoggedAsAGroup(t *testing.T) {
	t.Parallel()
	failed := &steadyhttp.ResponseError{
		Method: "GET", URL: "https://a/b", StatusCode: 503, Class: steadyhttp.Transient, Attempts: 4,
		RetryAfter: 30 * time.Second, RequestID: "abc", Problem: &steadyhttp.Problem{Title: "Gone\nfishing", Detail: "hunter2"}, Body: []byte("hunter2"),
	}
	assert.Equal(t, `err.method=GET err.url=https://a/b err.status=503 err.class=transient err.attempts=4 err.retry_after=30s err.request_id=abc err.problem="Gone fishing"`,
		captureLog(func(logger *slog.Logger) { logger.Error("", "err", failed) }))
	assert.Equal(t, `err.method="" err.url="" err.status=404 err.class=client_fault err.attempts=1`,
		captureLog(func(logger *slog.Logger) {
			logger.Error("", "err", &steadyhttp.ResponseError{StatusCode: 404, Class: steadyhttp.ClientFault, Attempts: 1})
		}))
}

func FuzzCheckResponse(f *testing.F) {
	f.Add(404, "application/problem+json", "30", "id", []byte(`{"type":"/a","title":"b\n","status":"x","extra":[1]}`))
	f.Add(503, "text/html; charset=\"", "-1", "two words", bytes.Repeat([]byte("x"), 9000))
	f.Add(422, "APPLICATION/problem+json; a=b; a=c", "99999999999999999999", "", []byte(strings.Repeat("[", 8000)))
	f.Add(200, "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, code int, contentType, retryAfter, id string, content []byte) {
		response := newResponse(code, bytes.NewReader(content), "Content-Type", contentType, "Retry-After", retryAfter, "X-Request-Id", id)
		err := steadyhttp.CheckResponse(response)
		read, readErr := io.ReadAll(response.Body)
		require.NoError(t, readErr)
		require.True(t, bytes.Equal(content, read))
		if steadyhttp.Classify(nil, response, nil) == steadyhttp.Success {
			require.NoError(t, err)
			return
		}
		var failed *steadyhttp.ResponseError
		require.ErrorAs(t, err, &failed)
		require.True(t, bytes.HasPrefix(content, failed.Body) && len(failed.Body) == min(len(content), 8<<10))
		require.GreaterOrEqual(t, failed.RetryAfter, time.Duration(0))
		for _, shown := range []string{err.Error(), failed.Advice(), failed.RequestID} {
			require.NotContains(t, shown, "\n")
			require.Less(t, len(shown), 2048)
			require.True(t, utf8.ValidString(shown))
		}
		require.Equal(t, slog.KindGroup, failed.LogValue().Kind())
		require.Nil(t, errors.Unwrap(err))
	})
}
