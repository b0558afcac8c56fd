package steadyhttptest_test

import (
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

func TestStep_DelayComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		code, _ := exchange(t, steadyhttptest.NewTransport(steadyhttptest.Delay(time.Minute, steadyhttptest.Status(404))), get(t))
		assert.Equal(t, 404, code)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestStep_FailReturnsTheErrorItself(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	_, err := steadyhttptest.NewTransport(steadyhttptest.Fail(mine)).RoundTrip(get(t))
	assert.Equal(t, mine, err)
}

func TestStep_FuncIsARoundTripper(t *testing.T) {
	t.Parallel()
	r := put(t, "payload")
	mine := errors.New("mine")
	both := &http.Response{StatusCode: 200, Body: &countingBody{Reader: strings.NewReader("both")}}
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

func TestStep_FuncsBodyOfA101CanBeWrittenTo(t *testing.T) {
	t.Parallel()
	var written strings.Builder
	base := steadyhttptest.NewTransport(steadyhttptest.Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 101, Body: struct {
			io.ReadCloser
			io.Writer
		}{&countingBody{Reader: strings.NewReader("read")}, &written}}, nil
	}))
	response, err := base.RoundTrip(get(t))
	require.NoError(t, err)
	_, err = io.WriteString(response.Body.(io.Writer), "written")
	require.NoError(t, err)
	assert.Equal(t, "written", written.String())
	read(t, response, err)
	base.AssertClosed(t)
}

func TestStep_HandlerRespondsWithoutANetwork(t *testing.T) {
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

func TestStep_HandlerThatAbortsIsAnEOFAndOtherPanicsPropagate(t *testing.T) {
	t.Parallel()
	panicking := func(problem any) steadyhttptest.Step {
		return steadyhttptest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(problem) }))
	}
	_, err := steadyhttptest.NewTransport(panicking(http.ErrAbortHandler)).RoundTrip(get(t))
	assert.Equal(t, io.EOF, err)
	assert.PanicsWithValue(t, "mine", func() { _, _ = steadyhttptest.NewTransport(panicking("mine")).RoundTrip(get(t)) })
}

func TestStep_RawIsReadAsNetHTTPReadsIt(t *testing.T) {
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

func TestTransport_EndFailsTheTestAndTheCall(t *testing.T) {
	t.Parallel()
	test := &recordingTB{}
	base := steadyhttptest.NewTransport(steadyhttptest.Status(500), steadyhttptest.End(test))
	exchange(t, base, get(t))
	assert.Empty(t, test.failures())
	_, err := base.RoundTrip(put(t, "payload"))
	require.EqualError(t, err, "steadyhttptest: the script has ended")
	assert.Equal(t, []string{"steadyhttptest: the script has ended, but an attempt came: PUT https://api.example.com/things"}, test.failures())
}

func TestStep_InvalidStepSaysWhy(t *testing.T) {
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

func TestStep_StringDescribesIt(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]steadyhttptest.Step{
		"200":                          steadyhttptest.Response{},
		"503":                          steadyhttptest.Status(503).Header("Retry-After", "1"),
		"200, truncated":               steadyhttptest.Status(200).Truncated(),
		"200, stalled":                 steadyhttptest.Status(200).Stalled(),
		"200, endless":                 steadyhttptest.Status(200).Endless(),
		"503 after 1s":                 steadyhttptest.Delay(time.Second, steadyhttptest.Status(503)),
		"half a header":                steadyhttptest.HalfHeader,
		"Fault(0)":                     steadyhttptest.Fault(0),
		"error: EOF":                   steadyhttptest.Fail(io.EOF),
		"func":                         steadyhttptest.Func(ignoreBody),
		"handler":                      steadyhttptest.Handler(http.NotFoundHandler()),
		`raw "HTTP/1.1 200 OK\r\nCon"`: steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
		"end":                          steadyhttptest.End(t),
	} {
		assert.Equal(t, want, step.String())
	}
}

func TestStep_IsARoundTripper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test := &recordingTB{}
		start := time.Now()
		for _, c := range []struct {
			step steadyhttptest.Step
			want string
		}{
			{steadyhttptest.Status(404), "404 Not Found"},
			{steadyhttptest.Delay(time.Second, steadyhttptest.Status(503)), "503 Service Unavailable"},
			{steadyhttptest.Func(ignoreBody), "200 "},
			{steadyhttptest.Handler(http.NotFoundHandler()), "404 404 page not found\n"},
			{steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"), "200 fine"},
			{steadyhttptest.Reset, "read tcp api.example.com:443: read: connection reset by peer"},
			{steadyhttptest.Fail(io.EOF), "EOF"},
			{steadyhttptest.End(test), "steadyhttptest: the script has ended"},
			{steadyhttptest.Fail(nil), "steadyhttptest: invalid step: Fail(nil): want an error"},
		} {
			for range 2 {
				source := &countingBody{Reader: strings.NewReader("payload")}
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

func TestStep_FuncMayPlayAnotherStep(t *testing.T) {
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

func TestStep_FuncMaySendThroughAnotherTransport(t *testing.T) {
	t.Parallel()
	for _, read := range []int{0, 3} {
		other := steadyhttptest.NewTransport(steadyhttptest.Status(503))
		base := steadyhttptest.NewTransport(steadyhttptest.Func(func(r *http.Request) (*http.Response, error) {
			_, _ = io.ReadFull(r.Body, make([]byte, read))
			return other.RoundTrip(r)
		}))
		r := put(t, "payload")
		source := &countingBody{Reader: strings.NewReader("payload")}
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
