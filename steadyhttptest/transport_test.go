package steadyhttptest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestTransport_PlaysTheStepsInOrderAndRepeatsTheLast(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(404), steadyhttptest.Status(201))
	var codes []int
	for range 5 {
		response, err := base.RoundTrip(get(t))
		require.NoError(t, err)
		codes = append(codes, response.StatusCode)
	}
	assert.Equal(t, []int{503, 404, 201, 201, 201}, codes)
}

func TestTransport_ZeroValueRespondsWith200(t *testing.T) {
	t.Parallel()
	var base steadyhttptest.Transport
	code, content := exchange(t, &base, get(t))
	assert.Equal(t, 200, code)
	assert.Equal(t, "OK", content)
	base.AssertAttempts(t, 1)
}

func TestTransport_RecordsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Reset)
		first := put(t, "payload")
		first.Header.Set("Tenant", "a")
		start := time.Now()
		exchange(t, base, first)
		time.Sleep(2 * time.Second)
		second := get(t)
		second.Method = ""
		_, err := base.RoundTrip(second)
		require.Error(t, err)

		first.Header.Set("Tenant", "changed later")
		assert.Equal(t, []steadyhttptest.Attempt{
			{
				Time: start, Method: "PUT", URL: target, Header: http.Header{"Tenant": {"a"}},
				Body: []byte("payload"), BodySize: 7, Request: first, Step: steadyhttptest.Status(503), Closed: 1,
			},
			{Time: start.Add(2 * time.Second), Method: "GET", URL: target, Header: http.Header{}, Request: second, Step: steadyhttptest.Reset},
		}, base.Attempts())
		assert.Equal(t, []time.Duration{2 * time.Second}, base.Waits())
		time.Sleep(time.Second)
		_, _ = base.RoundTrip(get(t))
		assert.Equal(t, []time.Duration{2 * time.Second, time.Second}, base.Waits())
	})
}

func TestTransport_AttemptsReturnsACopy(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport()
	exchange(t, base, put(t, "payload"))
	base.Attempts()[0].Body[0] = 'X'
	base.Attempts()[0].Method = "X"
	assert.Equal(t, "payload", string(base.Attempts()[0].Body))
	assert.Equal(t, "PUT", base.Attempts()[0].Method)
}

func TestTransport_RecordsTheStartAndTheSizeOfALongBody(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	base := steadyhttptest.NewTransport()
	exchange(t, base, put(t, strings.Repeat("x", size)))
	attempt := base.Attempts()[0]
	assert.EqualValues(t, size, attempt.BodySize)
	assert.Len(t, attempt.Body, 1<<20)
}

func TestTransport_PlayReplacesTheStepsAndKeepsTheRecords(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(503))
	exchange(t, base, get(t))
	base.Play(steadyhttptest.Status(200), steadyhttptest.Status(404))
	first, _ := exchange(t, base, get(t))
	second, _ := exchange(t, base, get(t))
	assert.Equal(t, []int{200, 404}, []int{first, second})
	base.AssertAttempts(t, 3)
}

func TestTransport_CopiesTheSteps(t *testing.T) {
	t.Parallel()
	steps := []steadyhttptest.Step{steadyhttptest.Status(404)}
	base := steadyhttptest.NewTransport(steps...)
	steps[0] = steadyhttptest.Status(503)
	code, _ := exchange(t, base, get(t))
	assert.Equal(t, 404, code)
}

func TestTransport_ClosesTheRequestBodyOnceWhateverTheStep(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		step steadyhttptest.Step
	}{
		"response":         {t.Context(), steadyhttptest.Status(200)},
		"nothing arrives":  {t.Context(), steadyhttptest.Refused},
		"reset":            {t.Context(), steadyhttptest.Reset},
		"refused stream":   {t.Context(), steadyhttptest.RefusedStream},
		"error":            {t.Context(), steadyhttptest.Fail(io.ErrNoProgress)},
		"handler":          {t.Context(), steadyhttptest.Handler(http.NotFoundHandler())},
		"func that closes": {t.Context(), steadyhttptest.Func(closeBodyTwice)},
		"cancelled ago":    {canceled, steadyhttptest.Status(200)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &countingBody{Reader: strings.NewReader("payload")}
			r := request(t, c.ctx, http.MethodPut, target, "")
			r.Body = source
			_, _ = steadyhttptest.NewTransport(c.step).RoundTrip(r)
			assert.Equal(t, 1, source.closes())
		})
	}
}

func TestTransport_ReadsTheBodyOnlyIfTheRequestArrives(t *testing.T) {
	t.Parallel()
	for _, fault := range steadyhttptest.Faults() {
		if fault == steadyhttptest.Hang {
			continue
		}
		base := steadyhttptest.NewTransport(fault)
		_, _ = base.RoundTrip(put(t, "payload"))
		read := base.Attempts()[0].BodySize
		switch fault {
		case steadyhttptest.Refused, steadyhttptest.NoSuchHost, steadyhttptest.DialTimeout, steadyhttptest.BadCertificate,
			steadyhttptest.ResetUnread, steadyhttptest.RefusedStream:
			assert.Zero(t, read, "%v", fault)
		default:
			assert.EqualValues(t, 7, read, "%v", fault)
		}
	}
}

func TestTransport_DoesNotModifyTheRequest(t *testing.T) {
	t.Parallel()
	for _, step := range []steadyhttptest.Step{steadyhttptest.Status(200), steadyhttptest.Func(closeBodyTwice), steadyhttptest.Handler(http.NotFoundHandler())} {
		r := put(t, "payload")
		before := *r
		header := r.Header.Clone()
		_, err := steadyhttptest.NewTransport(step).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, before.Body, r.Body)
		assert.Equal(t, header, r.Header)
		assert.Equal(t, before.Host, r.Host)
		assert.Empty(t, r.RequestURI)
	}
}

func TestTransport_EndedContextIsNoAttempt(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errBored)
	base := steadyhttptest.NewTransport()
	_, err := base.RoundTrip(request(t, ctx, http.MethodGet, target, ""))
	assert.Equal(t, errBored, err)
	base.AssertAttempts(t, 0)
}

func TestTransport_RefusesARequestWithoutURL(t *testing.T) {
	t.Parallel()
	source := &countingBody{}
	base := steadyhttptest.NewTransport()
	_, err := base.RoundTrip(&http.Request{Body: source})
	assert.EqualError(t, err, "http: nil Request.URL")
	assert.Equal(t, 1, source.closes())
	base.AssertAttempts(t, 0)
}

func TestTransport_RequestBodyThatFailsIsTheCallersError(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk on fire")
	for _, step := range []steadyhttptest.Step{steadyhttptest.Status(200), steadyhttptest.Reset, steadyhttptest.Func(ignoreBody)} {
		r := put(t, "")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("pay"), iotest.ErrReader(errDisk)))
		base := steadyhttptest.NewTransport(step)
		response, err := base.RoundTrip(r)
		assert.Nil(t, response)
		assert.Equal(t, errDisk, err)
		assert.Equal(t, "pay", string(base.Attempts()[0].Body))
		base.AssertClosed(t)
	}
}

// net/http refuses it too. The usual reason: the attempt before has read the body.
func TestTransport_RequestBodyOfAnotherLengthIsAnError(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":                  "http: ContentLength=7 with Body length 0",
		"more than payload": "http: ContentLength=7 with Body length 17",
	} {
		r := put(t, "")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(content)), 7
		_, err := steadyhttptest.NewTransport().RoundTrip(r)
		assert.EqualError(t, err, want)
	}
	r := put(t, "")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("payload")), -1
	_, err := steadyhttptest.NewTransport().RoundTrip(r)
	assert.NoError(t, err)
}

func TestTransport_CancelEndsTheReadingOfABodyThatBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errBored := errors.New("bored")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errBored) })
		reader, _ := io.Pipe()
		r := request(t, ctx, http.MethodPut, target, "")
		r.Body = reader
		_, err := steadyhttptest.NewTransport().RoundTrip(r)
		assert.Equal(t, errBored, err)
	})
}

func TestTransport_CanceledCallReturnsTheCause(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	for name, step := range map[string]steadyhttptest.Step{
		"hang":  steadyhttptest.Hang,
		"delay": steadyhttptest.Delay(time.Hour, steadyhttptest.Status(200)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(time.Second, func() { cancel(errBored) })
				_, err := steadyhttptest.NewTransport(step).RoundTrip(request(t, ctx, http.MethodGet, target, ""))
				assert.Equal(t, errBored, err)
				assert.Equal(t, time.Second, time.Since(start))
			})
		})
	}
}

func TestTransport_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(200))
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			exchange(t, base, put(t, "payload"))
			base.Attempts()
			base.Waits()
		})
	}
	callers.Wait()
	base.AssertAttempts(t, 32)
	base.AssertBody(t, "payload")
	base.AssertClosed(t)
}

func TestTransport_WorksInAClient(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(steadyhttptest.Status(302).Header("Location", "/elsewhere"), steadyhttptest.Status(200))
	client := &http.Client{Transport: base, Timeout: time.Hour}
	response, err := client.Get(target)
	code, _ := read(t, response, err)
	assert.Equal(t, 200, code)
	assert.Equal(t, "https://api.example.com/elsewhere", base.Attempts()[1].URL)

	base.Play(steadyhttptest.Refused)
	_, err = client.Get(target)
	var wrapped *url.Error
	require.ErrorAs(t, err, &wrapped)
}
