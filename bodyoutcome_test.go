package steadyhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// bodyOptions are the options that make a body count.
var bodyOptions = map[string]steadyhttp.Option{
	"WithBodyTimeout": steadyhttp.WithBodyTimeout(2 * time.Second),
	"WithResume":      steadyhttp.WithResume(),
}

// runEachBodyOption runs a test in a bubble with each of the options that make a body count.
func runEachBodyOption(t *testing.T, run func(t *testing.T, option steadyhttp.Option)) {
	t.Helper()
	for name, option := range bodyOptions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { run(t, option) })
		})
	}
}

func TestBodyOutcome_IsWhatTheBreakerCounts(t *testing.T) {
	t.Parallel()
	readAll := func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) }
	readOne := func(r *http.Response) { _, _ = r.Body.Read(make([]byte, 1)) }
	for name, c := range map[string]struct {
		parts []bodyPart
		use   func(*http.Response)
		want  breakerCount
	}{
		"ended":                         {[]bodyPart{{content: "abc"}}, readAll, breakerCount{0, 1}},
		"empty":                         {nil, readAll, breakerCount{0, 1}},
		"broken":                        {[]bodyPart{{content: "abc"}, {err: io.ErrUnexpectedEOF}}, readAll, breakerCount{1, 1}},
		"broken by whatever":            {[]bodyPart{{err: errUnknown}}, readAll, breakerCount{1, 1}},
		"our own side's":                {[]bodyPart{{content: "abc"}, {err: steadyhttp.LocalError(errReset)}}, readAll, breakerCount{0, 0}},
		"this machine's fault":          {[]bodyPart{{content: "abc"}, {err: syscall.ENETDOWN}}, readAll, breakerCount{0, 0}},
		"stalled":                       {[]bodyPart{{content: "abc"}, {wait: time.Hour}}, readAll, breakerCount{1, 1}},
		"closed unread":                 {[]bodyPart{{content: "abc"}}, func(*http.Response) {}, breakerCount{0, 0}},
		"closed early":                  {[]bodyPart{{content: "abc"}}, readOne, breakerCount{0, 0}},
		"closed before the break":       {[]bodyPart{{content: "abc"}, {err: io.ErrUnexpectedEOF}}, readOne, breakerCount{0, 0}},
		"lived for a second":            {[]bodyPart{{content: "a"}, {wait: time.Second, content: "b"}, {content: "c"}}, func(r *http.Response) { readOne(r); readOne(r) }, breakerCount{0, 1}},
		"closed after a second":         {[]bodyPart{{content: "abc"}}, func(r *http.Response) { readOne(r); time.Sleep(time.Second) }, breakerCount{0, 1}},
		"closed within a second":        {[]bodyPart{{content: "abc"}}, func(r *http.Response) { readOne(r); time.Sleep(time.Second - 1) }, breakerCount{0, 0}},
		"broken after a second":         {[]bodyPart{{wait: time.Second, content: "b"}, {err: errReset}}, readAll, breakerCount{1, 2}},
		"broken a second after nothing": {[]bodyPart{{wait: time.Second, err: errReset}}, readAll, breakerCount{1, 1}},
		"brought 8 MiB":                 {[]bodyPart{{content: strings.Repeat("a", 8<<20)}, {err: errReset}}, readAll, breakerCount{1, 2}},
		"brought less":                  {[]bodyPart{{content: strings.Repeat("a", 8<<20-1)}, {err: errReset}}, readAll, breakerCount{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				body := newScriptedBody(c.parts...)
				transport := newTransport(t, newBodyStep(func() io.ReadCloser { return body }),
					singleAttemptOptions(steadyhttp.WithBodyTimeout(2*time.Second), steadyhttp.WithBreakerWindow(time.Minute))...)
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				assertBreakerCount(t, transport, breakerCount{0, 0})
				c.use(response)
				require.NoError(t, response.Body.Close())
				assertBreakerCount(t, transport, c.want)
				require.NoError(t, response.Body.Close())
				assertBreakerCount(t, transport, c.want)
			})
		})
	}
}

func TestBodyOutcome_OfACallersCancelIsNeutral(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		for name, give := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"cancel": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second/2, cancel)
				return ctx, cancel
			},
			"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 1500*time.Millisecond)
			},
		} {
			ctx, cancel := give(t.Context())
			body := &contextBody{ctx: ctx, parts: 1, pause: time.Hour}
			transport := newTransport(t, newBodyStep(func() io.ReadCloser { return body }), option)
			response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			require.NoError(t, err)
			_, err = io.ReadAll(response.Body)
			assert.Equal(t, ctx.Err(), err, name)
			require.NoError(t, response.Body.Close())
			assertBreakerCount(t, transport, breakerCount{0, 0})
			cancel()
		}
	})
}

// An upload may go on while the response's body is read. If it fails there, that is not the server's doing.
func TestBodyOutcome_OfARequestBodyThatFailsIsNeutral(t *testing.T) {
	t.Parallel()
	errUpload := errors.New("a test's upload broke")
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, option := range bodyOptions {
			server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				_ = http.NewResponseController(w).Flush()
				echoHandler(w, r)
			})
			transport := newTransport(t, &http.Transport{Protocols: spoken}, option)
			t.Cleanup(transport.CloseIdleConnections)
			content, upload := io.Pipe()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, content)
			require.NoError(t, err)
			response, err := transport.RoundTrip(r)
			require.NoError(t, err)
			_ = upload.CloseWithError(errUpload)
			_, err = io.ReadAll(response.Body)
			require.Error(t, err, name)
			require.NoError(t, response.Body.Close())
			assertBreakerCount(t, transport, breakerCount{0, 0})
		}
	})
}

func TestBodyOutcome_OffCountsAtTheHeader(t *testing.T) {
	t.Parallel()
	body := newBrokenBody("abc")
	transport := newTransport(t, newBodyStep(func() io.ReadCloser { return body }))
	response, err := transport.RoundTrip(newGet(t))
	require.NoError(t, err)
	assertBreakerCount(t, transport, breakerCount{0, 1})
	_, err = io.ReadAll(response.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assertBreakerCount(t, transport, breakerCount{0, 1})
}

func TestBodyOutcome_SixtyBrokenBodiesOpenTheBreakerAsBrokenHeadersDo(t *testing.T) {
	t.Parallel()
	for name, option := range bodyOptions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const pace = 100 * time.Millisecond
				attempts := func(step stepFunc, options ...steadyhttp.Option) (admitted int) {
					base := stepFunc(func(r *http.Request) (*http.Response, error) { admitted++; return step(r) })
					transport := newTransport(t, base, append(options, steadyhttp.WithMaxAttempts(1))...)
					for range 60 {
						if response, err := transport.RoundTrip(newGet(t)); err == nil {
							_, _ = io.Copy(io.Discard, response.Body)
							_ = response.Body.Close()
						}
						time.Sleep(pace)
					}
					assert.NotEqual(t, steadyhttp.BreakerClosed, breakerState(t, transport))
					return admitted
				}
				cut := strings.Repeat("a", 64<<10)
				broken := attempts(newBodyStep(func() io.ReadCloser { return newBrokenBody(cut) }), option)
				assert.InDelta(t, attempts(stepFunc(func(*http.Request) (*http.Response, error) { return nil, errReset })), broken, 2)
				assert.Less(t, broken, 60)
			})
		})
	}
}

func TestBodyOutcome_ShortBodyIsBrokenWhateverTheBaseSays(t *testing.T) {
	t.Parallel()
	for length, want := range map[int64]error{-1: nil, 0: nil, 3: nil, 4: io.ErrUnexpectedEOF} {
		base := stepFunc(func(*http.Request) (*http.Response, error) {
			response := newResponseWith(200, newTrackedBody("abc"))
			response.ContentLength = length
			return response, nil
		})
		transport := newTransport(t, base, steadyhttp.WithBodyTimeout(time.Second))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, want, err)
		assert.Equal(t, "abc", string(content))
		failures := 0
		if want != nil {
			failures = 1
		}
		assertBreakerCount(t, transport, breakerCount{failures, 1})
	}
}

// An Uncompressed body may be shorter than what came.
func TestBodyOutcome_LengthOfWhatWasDecodedIsNoBreak(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		decoded := withLength(wholeFile(10), 26).edited(func(r *http.Response) { r.Uncompressed = true })
		transport := newTransport(t, stepFunc(decoded.RoundTrip), option)
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.NoError(t, err)
		assert.Equal(t, fileContent, string(content))
		assertBreakerCount(t, transport, breakerCount{0, 1})
	})
}

// json.Decoder stops reading at the end of the value, and sees no EOF.
func TestBodyOutcome_AllOfTheLengthIsTheEnd(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":1}`) })
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithBodyTimeout(time.Minute))
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		var value struct{ A int }
		require.NoError(t, json.NewDecoder(response.Body).Decode(&value))
		require.NoError(t, response.Body.Close())
		assertBreakerCount(t, transport, breakerCount{0, 1})
	})
}

func TestBodyOutcome_OfAClientFaultIsTheBodysToo(t *testing.T) {
	t.Parallel()
	for _, code := range []int{404, 501} {
		transport := newTransport(t, stepFunc(func(*http.Request) (*http.Response, error) {
			return newResponseWith(code, newBrokenBody("abc")), nil
		}), steadyhttp.WithBodyTimeout(time.Second))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		require.Error(t, steadyhttp.CheckResponse(response))
		require.NoError(t, response.Body.Close())
		assertBreakerCount(t, transport, breakerCount{1, 1})
	}
}

func TestBodyOutcome_FailureIsCountedAtItsHeaderAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, stepFunc(func(*http.Request) (*http.Response, error) {
			return newResponseWith(503, newBrokenBody("abc")), nil
		}), steadyhttp.WithBodyTimeout(time.Second), steadyhttp.WithMaxAttempts(2))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assertBreakerCount(t, transport, breakerCount{2, 2})
	})
}

func TestBodyOutcome_BudgetEarnsWhatABodyIsWorth(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		const earners = 10 // of a fifth each
		for name, c := range map[string]struct {
			body    func() io.ReadCloser
			retries int
		}{
			"whole":  {func() io.ReadCloser { return newScriptedBody(bodyPart{content: "a"}) }, earners / 5},
			"broken": {func() io.ReadCloser { return newBrokenBody("a") }, 0},
		} {
			failing := false
			attempts := 0
			transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
				attempts++
				if failing {
					return newResponseWith(503, http.NoBody), nil
				}
				return newResponseWith(200, c.body()), nil
			}), noBreakerOptions(option, steadyhttp.WithRetryBudget(0.2, 5))...)
			failing = true
			sendGets(t, transport, 1) // which drains it
			failing = false
			for range earners {
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			failing, attempts = true, 0
			sendGets(t, transport, 1)
			assert.Equal(t, 1+c.retries, attempts, name)
		}
	})
}

// A probe is a call, and its body decides.
func TestBodyOutcome_OfAProbeIsTheBreakers(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second // the attempt timeout, and a little
	for name, c := range map[string]struct {
		parts []bodyPart
		use   func(*http.Response)
		state steadyhttp.BreakerState
	}{
		"not read yet": {[]bodyPart{{content: "a"}}, nil, steadyhttp.BreakerHalfOpen},
		"whole":        {[]bodyPart{{content: "a"}}, readAndClose, steadyhttp.BreakerClosed},
		"broken":       {[]bodyPart{{content: "a"}, {err: errReset}}, readAndClose, steadyhttp.BreakerOpen},
		"stalled":      {[]bodyPart{{content: "a"}, {wait: time.Hour}}, readAndClose, steadyhttp.BreakerOpen},
		"closed early": {[]bodyPart{{content: "a"}}, func(r *http.Response) { _ = r.Body.Close() }, steadyhttp.BreakerHalfOpen},
		"lives":        {[]bodyPart{{wait: time.Second, content: "a"}, {wait: time.Hour}}, func(r *http.Response) { _, _ = r.Body.Read(make([]byte, 1)) }, steadyhttp.BreakerClosed},
		"too late":     {[]bodyPart{{wait: lease / 2, content: "a"}, {wait: lease / 2, content: "b"}, {wait: lease / 2, content: "b"}}, func(r *http.Response) { time.Sleep(2 * lease); readAndClose(r) }, steadyhttp.BreakerHalfOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				body := newScriptedBody(c.parts...)
				transport, _ := newOpenBreaker(t, newBodyStep(func() io.ReadCloser { return body }),
					steadyhttp.WithBodyTimeout(lease/2+time.Millisecond), steadyhttp.WithAttemptTimeout(lease))
				time.Sleep(breakerProbeDue)
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport), "at the header")
				_, err = transport.RoundTrip(newGet(t))
				assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, "the probe is under way")
				if c.use != nil {
					c.use(response)
				}
				assert.Equal(t, c.state, breakerState(t, transport))
				if c.state == steadyhttp.BreakerHalfOpen {
					time.Sleep(2 * lease)
					next, err := transport.RoundTrip(newGet(t))
					require.NoError(t, err, "the next probe")
					_ = next.Body.Close()
				}
				_ = response.Body.Close()
			})
		})
	}
}

// A client that looks at headers alone finds its way back after an outage. One probe that is closed unread tells nothing.
func TestBodyOutcome_ProbesThatNobodyReadsCloseTheBreakerTogether(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		transport, _ := newOpenBreaker(t, newBodyStep(func() io.ReadCloser { return newScriptedBody(bodyPart{content: "a"}) }), option)
		time.Sleep(breakerProbeDue)
		for _, state := range []steadyhttp.BreakerState{steadyhttp.BreakerHalfOpen, steadyhttp.BreakerClosed} {
			response, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport), "at the header")
			require.NoError(t, response.Body.Close())
			assert.Equal(t, state, breakerState(t, transport))
		}
	})
}

// Of another outage the next one tells nothing either.
func TestBodyOutcome_ProbeThatNobodyReadsCountsForItsPhaseAlone(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		var bodies []io.ReadCloser
		transport, _ := newOpenBreaker(t, newBodyStep(func() (next io.ReadCloser) { next, bodies = bodies[0], bodies[1:]; return next }), option)
		bodies = []io.ReadCloser{newScriptedBody(bodyPart{content: "a"}), newBrokenBody("a"), newScriptedBody(bodyPart{content: "a"})}
		for _, c := range []struct {
			use   func(*http.Response)
			state steadyhttp.BreakerState
		}{
			{func(r *http.Response) { _ = r.Body.Close() }, steadyhttp.BreakerHalfOpen},
			{readAndClose, steadyhttp.BreakerOpen},
			{func(r *http.Response) { _ = r.Body.Close() }, steadyhttp.BreakerHalfOpen},
		} {
			time.Sleep(breakerProbeDue)
			response, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			c.use(response)
			assert.Equal(t, c.state, breakerState(t, transport))
		}
	})
}

func readAndClose(r *http.Response) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
}

func TestBodyOutcome_ObserverThatPanicsFreesTheProbesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		body := newScriptedBody(bodyPart{content: "a"})
		transport, _ := newOpenBreaker(t, newBodyStep(func() io.ReadCloser { return body }), steadyhttp.WithBodyTimeout(time.Second),
			steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
				if armed.Load() && e.Kind == steadyhttp.EventAttempt {
					panic("observer")
				}
			}))
		time.Sleep(breakerProbeDue)
		armed.Store(true)
		assert.PanicsWithValue(t, "observer", func() { _, _ = transport.RoundTrip(newGet(t)) })
		armed.Store(false)
		assert.Equal(t, 1, body.closes)
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err, "the next probe need not wait")
		require.NoError(t, response.Body.Close())
	})
}

// What was read when an Observer panics does not reach the reader, and must not be left out either.
func TestBodyOutcome_ObserverThatPanicsInAReadLeavesNoGap(t *testing.T) {
	t.Parallel()
	const due = wellAfterHeader
	for name, c := range map[string]struct {
		option  steadyhttp.Option
		content string // of what is read afterwards
	}{
		"WithBodyTimeout": {steadyhttp.WithBodyTimeout(time.Minute), ""},
		"WithResume":      {steadyhttp.WithResume(), fileContent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first := wholeFile(10)
				first.body = newScriptedBody(bodyPart{wait: due, content: "0123"}, bodyPart{content: "456789"})
				replies := slices.Repeat([]fileReply{emptyReply(503)}, breakerRunFailures)
				replies = append(replies, first, partOfFile(0, 9, 10))
				base := stepFunc(func(r *http.Request) (*http.Response, error) {
					next := replies[0]
					replies = replies[1:]
					return next.RoundTrip(r)
				})
				transport := newTransport(t, base, c.option, steadyhttp.WithMaxAttempts(breakerRunFailures), steadyhttp.WithBreakerConsecutiveFailures(breakerRunFailures, 0),
					steadyhttp.WithBreakerOpenFor(breakerOpenFor), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
						if e.Kind == steadyhttp.EventBreaker && e.To == steadyhttp.BreakerClosed {
							panic("observer")
						}
					}))
				sendGets(t, transport, 1)
				time.Sleep(breakerProbeDue)
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				assert.PanicsWithValue(t, "observer", func() { _, _ = response.Body.Read(make([]byte, 4)) })
				content, err := io.ReadAll(response.Body)
				assert.Equal(t, c.content, string(content))
				assert.Equal(t, c.content == "", err != nil, "%v", err)
				require.NoError(t, response.Body.Close())
			})
		})
	}
}

// A client that never reads a body, as one that looks at the status alone, has no success that is counted.
func TestBodyOutcome_CloseEndsARunOfFailures(t *testing.T) {
	t.Parallel()
	runEachBodyOption(t, func(t *testing.T, option steadyhttp.Option) {
		attempts := 0
		transport := newTransport(t, stepFunc(func(*http.Request) (*http.Response, error) {
			if attempts++; attempts%2 == 0 {
				return nil, errReset
			}
			return newResponseWith(200, newTrackedBody("abc")), nil
		}), singleAttemptOptions(option, steadyhttp.WithBreakerFailureRate(0, 1))...)
		for i := range 20 {
			response, err := transport.RoundTrip(newGet(t))
			if i%2 == 1 {
				require.ErrorIs(t, err, errReset)
				continue
			}
			require.NoError(t, err, "call %d", i+1)
			require.NoError(t, response.Body.Close())
			time.Sleep(breakerRunDuration)
		}
		status := onlyBreaker(t, transport)
		assert.Equal(t, steadyhttp.BreakerClosed, status.State)
		assert.Equal(t, status.Failures, status.Requests, "what was closed is not counted")
	})
}

const wellAfterHeader = time.Second // when a body counts as a success though it has not ended

// What is asked for costs an allocation for each response, and what is not asked for none.
func TestBodyOutcome_Allocations(t *testing.T) {
	response := &http.Response{}
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		most    float64
	}{
		"none":            {nil, 0},
		"WithBodyTimeout": {[]steadyhttp.Option{steadyhttp.WithBodyTimeout(time.Minute)}, 1},
		"WithResume":      {[]steadyhttp.Option{steadyhttp.WithResume()}, 1},
		"both":            {[]steadyhttp.Option{steadyhttp.WithBodyTimeout(time.Minute), steadyhttp.WithResume()}, 1},
	} {
		transport := newTransport(t, constantBase{response}, c.options...)
		for _, answered := range countedResponses {
			r, p, body := newRequest(t, t.Context(), answered.method, answered.content), make([]byte, 8), new(fourBytes)
			allocations := testing.AllocsPerRun(200, func() {
				*body = 4
				*response = http.Response{StatusCode: answered.code, Header: answered.header, ContentLength: -1, Body: body}
				got, err := transport.RoundTrip(r)
				if err == nil {
					_, _ = got.Body.Read(p)
					_, _ = got.Body.Read(p)
					_ = got.Body.Close()
				}
			})
			if underRace {
				continue // the detector makes pools forget
			}
			assert.LessOrEqual(t, allocations, c.most, "%s, %v", name, answered)
		}
	}
}

// countedResponses are some that can be resumed, and some for each reason why they cannot.
var countedResponses = []struct {
	method, content string
	code            int
	header          http.Header
}{
	{"GET", "", 200, http.Header{"Etag": {`"v"`}}},
	{"GET", "", 200, http.Header{"Last-Modified": {fileOld}, "Date": {fileDate}}},
	{"GET", "", 206, http.Header{"Etag": {`"v"`}, "Content-Range": {"bytes 2-5/9"}}},
	{"GET", "", 200, http.Header{}},
	{"GET", "", 200, http.Header{"Etag": {`W/"v"`}}},
	{"GET", "", 200, http.Header{"Etag": {`"v"`}, "Content-Encoding": {"gzip"}}},
	{"GET", "", 200, http.Header{"Etag": {`"v"`}, "Accept-Ranges": {"none"}}},
	{"GET", "", 206, http.Header{"Etag": {`"v"`}, "Content-Range": {"bytes 2-5/*"}}},
	{"GET", "", 404, http.Header{}},
	{"POST", "content", 200, http.Header{}},
}

// A fourBytes is a body of four bytes.
type fourBytes int

func (b *fourBytes) Read(p []byte) (int, error) {
	n := min(int(*b), len(p))
	*b -= fourBytes(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (*fourBytes) Close() error { return nil }

// A body that lives counts a second after its header, which is later than a short attempt timeout.
func TestBreaker_ProbeWhoseBodyLastsLongerThanAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := newBodyStep(func() io.ReadCloser {
			return newScriptedBody(bodyPart{wait: 900 * time.Millisecond, content: "a"}, bodyPart{wait: 900 * time.Millisecond, content: "b"})
		})
		transport, _ := newOpenBreaker(t, body, steadyhttp.WithAttemptTimeout(100*time.Millisecond), steadyhttp.WithBodyTimeout(time.Minute))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}
