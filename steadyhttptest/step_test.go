package steadyhttptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestAnswerIsAResponseAsOfNetHTTP(t *testing.T) {
	t.Parallel()
	r := get(t)
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503).Header("Retry-After", "2").Header("Via", "a").Header("Via", "b").Body("sorry"))
	response, err := base.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, "503 Service Unavailable", response.Status)
	assert.Equal(t, "HTTP/1.1", response.Proto)
	assert.True(t, response.ProtoAtLeast(1, 1))
	assert.Equal(t, http.Header{"Retry-After": {"2"}, "Via": {"a", "b"}}, response.Header)
	assert.EqualValues(t, 5, response.ContentLength)
	assert.Same(t, r, response.Request)
	_, content := read(t, response, err)
	assert.Equal(t, "sorry", content)
}

func TestAnswerHasItsStatusForABodyUntilItIsGivenOne(t *testing.T) {
	t.Parallel()
	for content, step := range map[string]steadyhttptest.Step{
		"Service Unavailable": steadyhttptest.Status(503),
		"":                    steadyhttptest.Status(503).Body(""),
		"OK":                  steadyhttptest.Answer{},
	} {
		_, got := exchange(t, steadyhttptest.NewTransport(step), get(t))
		assert.Equal(t, content, got)
	}
}

func TestAnswerDoesNotChange(t *testing.T) {
	t.Parallel()
	plain := steadyhttptest.Status(503).Header("Via", "a")
	_, _, _ = plain.Header("Via", "b"), plain.Body("other"), plain.Truncated()
	response, err := steadyhttptest.NewTransport(plain).RoundTrip(get(t))
	require.NoError(t, err)
	response.Header.Set("Via", "changed by the caller")
	_, content := read(t, response, err)
	assert.Equal(t, "Service Unavailable", content)
	response, err = steadyhttptest.NewTransport(plain).RoundTrip(get(t))
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, response.Header["Via"])
}

func TestSomeAnswersHaveNoBody(t *testing.T) {
	t.Parallel()
	head := get(t)
	head.Method = http.MethodHead
	for name, c := range map[string]struct {
		step   steadyhttptest.Step
		r      *http.Request
		length int64
	}{
		"204":  {steadyhttptest.Status(204), get(t), 0},
		"304":  {steadyhttptest.Status(304), get(t), 0},
		"HEAD": {steadyhttptest.Status(200), head, 2},
	} {
		base := steadyhttptest.NewTransport(c.step)
		response, err := base.RoundTrip(c.r)
		require.NoError(t, err, name)
		assert.Equal(t, http.NoBody, response.Body, name)
		assert.Equal(t, c.length, response.ContentLength, name)
		base.AssertClosed(t)
	}
}

func TestBodyEndsAsAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer steadyhttptest.Answer
		length int64
		want   error
	}{
		"whole":     {steadyhttptest.Status(200).Body("abc"), 3, nil},
		"truncated": {steadyhttptest.Status(200).Body("abc").Truncated(), 4, io.ErrUnexpectedEOF},
		"stalled":   {steadyhttptest.Status(200).Body("abc").Stalled(), 4, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				response, err := steadyhttptest.NewTransport(c.answer).RoundTrip(request(t, ctx, http.MethodGet, target, ""))
				require.NoError(t, err)
				assert.Equal(t, c.length, response.ContentLength)
				content, err := io.ReadAll(response.Body)
				assert.Equal(t, "abc", string(content))
				assert.Equal(t, c.want, err)
			})
		})
	}
}

func TestEndlessBodyRepeatsItself(t *testing.T) {
	t.Parallel()
	response, err := steadyhttptest.NewTransport(steadyhttptest.Status(200).Body("abc").Endless()).RoundTrip(get(t))
	require.NoError(t, err)
	assert.EqualValues(t, -1, response.ContentLength)
	content := make([]byte, 3000)
	_, err = io.ReadFull(response.Body, content)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("abc", 1000), string(content))
}

func TestClosingABodyEndsAReadThatStalls(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]steadyhttptest.Step{
		"stalled":           steadyhttptest.Status(200).Body("").Stalled(),
		"nothing, endless":  steadyhttptest.Status(200).Body("").Endless(),
		"closed beforehand": steadyhttptest.Status(200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				response, err := steadyhttptest.NewTransport(step).RoundTrip(get(t))
				require.NoError(t, err)
				if name == "closed beforehand" {
					require.NoError(t, response.Body.Close())
				} else {
					time.AfterFunc(time.Second, func() { _ = response.Body.Close() })
				}
				_, err = response.Body.Read(make([]byte, 1))
				assert.Equal(t, http.ErrBodyReadAfterClose, err)
				assert.NoError(t, response.Body.Close(), "once more")
			})
		})
	}
}

// net/http's bodies end with the context: a wrapper that cancels it too early is found out.
func TestBodyFailsOnceTheContextHasEndedUnlessItWasRead(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	for _, readBefore := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		response, err := steadyhttptest.NewTransport().RoundTrip(request(t, ctx, http.MethodGet, target, ""))
		require.NoError(t, err)
		want := errBored
		if readBefore {
			_, err = io.ReadFull(response.Body, make([]byte, 2))
			require.NoError(t, err)
			want = io.EOF
		}
		cancel(errBored)
		_, err = response.Body.Read(make([]byte, 1))
		assert.Equal(t, want, err)
	}
}

func TestDelayComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		code, _ := exchange(t, steadyhttptest.NewTransport(steadyhttptest.Delay(time.Minute, steadyhttptest.Status(404))), get(t))
		assert.Equal(t, 404, code)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestFailReturnsTheErrorItself(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	_, err := steadyhttptest.NewTransport(steadyhttptest.Fail(mine)).RoundTrip(get(t))
	assert.Equal(t, mine, err)
}

func TestFuncIsARoundTripper(t *testing.T) {
	t.Parallel()
	r := put(t, "payload")
	mine := errors.New("mine")
	both := &http.Response{StatusCode: 200, Body: &watched{Reader: strings.NewReader("both")}}
	base := steadyhttptest.NewTransport(
		steadyhttptest.Func(func(r *http.Request) (*http.Response, error) {
			content, err := io.ReadAll(r.Body)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("got " + string(content))), Request: r}, err
		}),
		steadyhttptest.Func(func(*http.Request) (*http.Response, error) { return both, mine }),
		steadyhttptest.Func(func(*http.Request) (*http.Response, error) { return nil, nil }),
	)
	response, err := base.RoundTrip(r)
	require.NoError(t, err)
	assert.Same(t, r, response.Request, "and not the copy that the function got")
	_, content := read(t, response, err)
	assert.Equal(t, "got payload", content)

	response, err = base.RoundTrip(put(t, "payload"))
	assert.Equal(t, mine, err)
	assert.Equal(t, both, response)
	assert.NoError(t, response.Body.Close())

	response, err = base.RoundTrip(put(t, "payload"))
	assert.Nil(t, response)
	assert.NoError(t, err)
	base.AssertBody(t, "payload")
	base.AssertClosed(t)
}

func TestFuncsBodyOfA101CanBeWrittenTo(t *testing.T) {
	t.Parallel()
	var written strings.Builder
	base := steadyhttptest.NewTransport(steadyhttptest.Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 101, Body: struct {
			io.ReadCloser
			io.Writer
		}{&watched{Reader: strings.NewReader("read")}, &written}}, nil
	}))
	response, err := base.RoundTrip(get(t))
	require.NoError(t, err)
	_, err = io.WriteString(response.Body.(io.Writer), "written")
	require.NoError(t, err)
	assert.Equal(t, "written", written.String())
	read(t, response, err)
	base.AssertClosed(t)
}

func TestHandlerAnswersWithoutANetwork(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.WriteHeader(201)
		_, _ = fmt.Fprintf(w, "%s %s %s %q", r.Method, r.Host, r.RequestURI, content)
	})))
	code, content := exchange(t, base, put(t, "payload"))
	assert.Equal(t, 201, code)
	assert.Equal(t, `PUT api.example.com /things "payload"`, content)
	r := get(t)
	r.Host = ""
	_, content = exchange(t, base, r)
	assert.Equal(t, `GET api.example.com /things ""`, content)
	base.AssertClosed(t)
}

func TestHandlerThatAbortsIsAnEOFAndOtherPanicsGoOn(t *testing.T) {
	t.Parallel()
	panicking := func(problem any) steadyhttptest.Step {
		return steadyhttptest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(problem) }))
	}
	_, err := steadyhttptest.NewTransport(panicking(http.ErrAbortHandler)).RoundTrip(get(t))
	assert.Equal(t, io.EOF, err)
	assert.PanicsWithValue(t, "mine", func() { _, _ = steadyhttptest.NewTransport(panicking("mine")).RoundTrip(get(t)) })
}

func TestRawIsReadAsNetHTTPReadsIt(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"))
	code, content := exchange(t, base, get(t))
	assert.Equal(t, 200, code)
	assert.Equal(t, "fine", content)

	base.Play(steadyhttptest.Raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"))
	code, _ = exchange(t, base, get(t))
	assert.Equal(t, 204, code)

	base.Play(steadyhttptest.Raw(""))
	_, err := base.RoundTrip(get(t))
	assert.Equal(t, io.EOF, err)

	base.Play(steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nfine"))
	response, err := base.RoundTrip(get(t))
	require.NoError(t, err)
	_, err = io.ReadAll(response.Body)
	assert.Equal(t, io.ErrUnexpectedEOF, err)
}

func TestScriptThatEndsFailsTheTestAndTheCaller(t *testing.T) {
	t.Parallel()
	test := &failing{}
	base := steadyhttptest.NewTransport(steadyhttptest.Status(500), steadyhttptest.End(test))
	exchange(t, base, get(t))
	assert.Empty(t, test.failures())
	_, err := base.RoundTrip(put(t, "payload"))
	require.EqualError(t, err, "steadyhttptest: the script has ended")
	assert.Equal(t, []string{"steadyhttptest: the script has ended, and there came PUT https://api.example.com/things"}, test.failures())
}

func TestStepThatMakesNoSenseSaysSo(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]steadyhttptest.Step{
		"nil Step":                                nil,
		"Status(99): want 200 to 999":             steadyhttptest.Status(99),
		"Status(199): want 200 to 999":            steadyhttptest.Status(199),
		"Status(1000): want 200 to 999":           steadyhttptest.Status(1000),
		"Fail(nil): want an error":                steadyhttptest.Fail(nil),
		"Handler(nil): want a handler":            steadyhttptest.Handler(nil),
		"nil Func":                                steadyhttptest.Func(nil),
		"Fault(0): want one of the constants":     steadyhttptest.Fault(0),
		"Fault(1000): want one of the constants":  steadyhttptest.Fault(1000),
		"Fault(-1000): want one of the constants": steadyhttptest.Delay(1, steadyhttptest.Fault(-1000)),
	} {
		_, err := steadyhttptest.NewTransport(step).RoundTrip(get(t))
		assert.EqualError(t, err, "steadyhttptest: invalid step: "+want)
	}
	_, err := steadyhttptest.NewTransport(steadyhttptest.Delay(1, nil)).RoundTrip(get(t))
	assert.EqualError(t, err, "steadyhttptest: invalid step: nil Step")
}

func TestStepsTellWhatTheyAre(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]steadyhttptest.Step{
		"200":                          steadyhttptest.Answer{},
		"503":                          steadyhttptest.Status(503).Header("Retry-After", "1"),
		"200, truncated":               steadyhttptest.Status(200).Truncated(),
		"200, stalled":                 steadyhttptest.Status(200).Stalled(),
		"200, endless":                 steadyhttptest.Status(200).Endless(),
		"503 after 1s":                 steadyhttptest.Delay(time.Second, steadyhttptest.Status(503)),
		"half a header":                steadyhttptest.HalfHeader,
		"Fault(0)":                     steadyhttptest.Fault(0),
		"error: EOF":                   steadyhttptest.Fail(io.EOF),
		"func":                         steadyhttptest.Func(leaving),
		"handler":                      steadyhttptest.Handler(http.NotFoundHandler()),
		`raw "HTTP/1.1 200 OK\r\nCon"`: steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
		"end":                          steadyhttptest.End(t),
	} {
		assert.Equal(t, want, step.String())
	}
}

func TestStepIsARoundTripperByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test := &failing{}
		start := time.Now()
		for _, c := range []struct {
			step steadyhttptest.Step
			want string
		}{
			{steadyhttptest.Status(404), "404 Not Found"},
			{steadyhttptest.Delay(time.Second, steadyhttptest.Status(503)), "503 Service Unavailable"},
			{steadyhttptest.Func(leaving), "200 "},
			{steadyhttptest.Handler(http.NotFoundHandler()), "404 404 page not found\n"},
			{steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"), "200 fine"},
			{steadyhttptest.Reset, "read tcp api.example.com:443: read: connection reset by peer"},
			{steadyhttptest.Fail(io.EOF), "EOF"},
			{steadyhttptest.End(test), "steadyhttptest: the script has ended"},
			{steadyhttptest.Fail(nil), "steadyhttptest: invalid step: Fail(nil): want an error"},
		} {
			for range 2 {
				source := &watched{Reader: strings.NewReader("payload")}
				r := put(t, "")
				r.Body = source
				response, err := c.step.RoundTrip(r)
				if err != nil {
					assert.EqualError(t, err, c.want)
				} else {
					code, content := read(t, response, err)
					assert.Equal(t, c.want, fmt.Sprint(code, " ", content))
				}
				assert.Equal(t, 1, source.closes(), "%v", c.step)
			}
		}
		assert.Equal(t, 2*time.Second, time.Since(start))
		assert.Len(t, test.failures(), 2)
		_, err := steadyhttptest.Status(200).RoundTrip(&http.Request{})
		assert.EqualError(t, err, "http: nil Request.URL")
	})
}

func TestFuncMayPlayAnotherStep(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Func(func(r *http.Request) (*http.Response, error) {
		if _, err := io.ReadFull(r.Body, make([]byte, 3)); err != nil {
			return nil, err
		}
		return steadyhttptest.Status(503).RoundTrip(r)
	}))
	code, _ := exchange(t, base, put(t, "payload"))
	assert.Equal(t, 503, code)
	base.AssertBody(t, "payload")
}

func TestFuncMaySendThroughAnotherTransport(t *testing.T) {
	t.Parallel()
	for _, read := range []int{0, 3} {
		other := steadyhttptest.NewTransport(steadyhttptest.Status(503))
		base := steadyhttptest.NewTransport(steadyhttptest.Func(func(r *http.Request) (*http.Response, error) {
			_, _ = io.ReadFull(r.Body, make([]byte, read))
			return other.RoundTrip(r)
		}))
		r := put(t, "payload")
		source := &watched{Reader: strings.NewReader("payload")}
		r.Body = source
		code, _ := exchange(t, base, r)
		assert.Equal(t, 503, code)
		base.AssertBody(t, "payload")
		other.AssertBody(t, "payload"[read:])
		assert.Equal(t, 1, source.closes())
		base.AssertClosed(t)
		other.AssertClosed(t)
	}
}
