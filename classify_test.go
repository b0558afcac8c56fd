package steadyhttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestClassify_EveryStatusHasAClass(t *testing.T) {
	t.Parallel()
	permanent := map[int]bool{501: true, 505: true, 506: true, 507: true, 508: true, 510: true, 511: true, 526: true}
	for code := -1; code <= 1000; code++ {
		want := steadyhttp.Transient
		switch {
		case code >= 100 && code < 400:
			want = steadyhttp.Success
		case code == 429:
			want = steadyhttp.Throttled
		case code >= 400 && code < 500:
			want = steadyhttp.ClientFault
		case permanent[code]:
			want = steadyhttp.Permanent
		}
		got := steadyhttp.Classify(nil, &http.Response{StatusCode: code}, nil)
		assert.Equal(t, want, got, "status %d", code)
	}
}

func TestClassify_EveryErrorHasAClass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want steadyhttp.Class
	}{
		"no connection":                          {dialError(syscall.ECONNREFUSED), steadyhttp.Unprocessed},
		"unreachable":                            {dialError(syscall.EHOSTUNREACH), steadyhttp.Unprocessed},
		"no proxy":                               {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dialError(syscall.ECONNREFUSED)}, steadyhttp.Unprocessed},
		"no SOCKS connection":                    {&net.OpError{Op: "socks connect", Net: "tcp", Err: io.EOF}, steadyhttp.Unprocessed},
		"no name":                                {lookupError(net.DNSError{IsNotFound: true}), steadyhttp.Permanent},
		"no name for now":                        {lookupError(net.DNSError{IsNotFound: true, IsTemporary: true}), steadyhttp.Unprocessed},
		"a failing name server":                  {lookupError(net.DNSError{IsTemporary: true}), steadyhttp.Unprocessed},
		"a refusing name server":                 {lookupError(net.DNSError{}), steadyhttp.Unprocessed},
		"no ports":                               {dialError(syscall.EADDRNOTAVAIL), steadyhttp.Unprocessed},
		"no files":                               {dialError(syscall.EMFILE), steadyhttp.Unprocessed},
		"no files in the system":                 {&net.OpError{Op: "socket", Err: syscall.ENFILE}, steadyhttp.Unprocessed},
		"reset":                                  {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, steadyhttp.Transient},
		"broken pipe":                            {&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, steadyhttp.Transient},
		"EOF":                                    {io.EOF, steadyhttp.Transient},
		"an unexpected EOF":                      {io.ErrUnexpectedEOF, steadyhttp.Transient},
		"a header timeout":                       {headerTimeoutError{}, steadyhttp.Transient},
		"a deadline not ours":                    {context.DeadlineExceeded, steadyhttp.Transient},
		"a cancel not ours":                      {context.Canceled, steadyhttp.Transient},
		"unknown":                                {errors.New("?"), steadyhttp.Transient},
		"a closed idle connection":               {errors.New("http: server closed idle connection"), steadyhttp.Unprocessed},
		"the same, wrapped":                      {fmt.Errorf("sent through a wrapper: %w", errors.New("http: server closed idle connection")), steadyhttp.Unprocessed},
		"only its words":                         {errors.New("no http: server closed idle connection"), steadyhttp.Transient},
		"verification":                           {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, steadyhttp.Permanent},
		"verification, for reasons of the users": {&tls.CertificateVerificationError{Err: errors.New("not today")}, steadyhttp.Permanent},
		"an unknown authority":                   {x509.UnknownAuthorityError{}, steadyhttp.Permanent},
		"another host's":                         {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}, steadyhttp.Permanent},
		"an expired certificate":                 {x509.CertificateInvalidError{Reason: x509.Expired}, steadyhttp.Permanent},
		"no roots":                               {x509.SystemRootsError{}, steadyhttp.Permanent},
		"a broken algorithm":                     {x509.InsecureAlgorithmError(x509.MD5WithRSA), steadyhttp.Permanent},
		"plain HTTP":                             {tls.RecordHeaderError{Msg: "x"}, steadyhttp.Permanent},
		"a TLS alert":                            {&net.OpError{Op: "remote error", Err: tlsAlert(70)}, steadyhttp.Permanent},
		"a corrupted TLS record":                 {&net.OpError{Op: "remote error", Err: tlsAlert(20)}, steadyhttp.Transient},
		"an internal TLS error":                  {&net.OpError{Op: "remote error", Err: tlsAlert(80)}, steadyhttp.Transient},
		"an odd remote error":                    {&net.OpError{Op: "remote error", Err: errors.New("?")}, steadyhttp.Permanent},
		"an impossible port":                     {&net.OpError{Op: "dial", Err: &net.AddrError{Err: "invalid port"}}, steadyhttp.Permanent},
		"an open breaker":                        {&steadyhttp.CircuitOpenError{}, steadyhttp.Unprocessed},
		"a pause":                                {&steadyhttp.PausedError{}, steadyhttp.Throttled},
		"an attempt timeout":                     {steadyhttp.ErrAttemptTimeout, steadyhttp.Transient},
		"an error of ours":                       {&steadyhttp.Error{Class: steadyhttp.Unprocessed}, steadyhttp.Unprocessed},
	} {
		assert.Equal(t, c.want, steadyhttp.Classify(nil, nil, c.err), name)
		wrapped := &url.Error{Op: "Get", URL: targetURL, Err: c.err}
		assert.Equal(t, c.want, steadyhttp.Classify(newGet(t), nil, wrapped), "%s, through a client", name)
	}
	assert.Equal(t, steadyhttp.Unclassified, steadyhttp.Classify(nil, nil, nil))
}

func TestClassify_ResponseDecidesAlone(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRequest(t, canceled, http.MethodGet, "")
	assert.Equal(t, steadyhttp.Success, steadyhttp.Classify(r, &http.Response{StatusCode: 204}, errors.New("?")))
}

func TestClassify_ContextDecidesBeforeTheError(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("shutting down")
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errShutdown)
	expired, cancelExpired := context.WithDeadlineCause(t.Context(), time.Now().Add(-time.Second), errShutdown)
	defer cancelExpired()
	closed := make(chan struct{})
	close(closed)
	for name, c := range map[string]struct {
		ctx    context.Context
		cancel <-chan struct{}
		want   steadyhttp.Class
	}{
		"cancelled with a cause":          {canceled, nil, steadyhttp.Canceled},
		"expired":                         {expired, nil, steadyhttp.Transient},
		"Request.Cancel":                  {t.Context(), closed, steadyhttp.Canceled},
		"Request.Cancel and the deadline": {expired, closed, steadyhttp.Transient},
	} {
		r := newRequest(t, c.ctx, http.MethodGet, "")
		//lint:ignore SA1019 http.Client.Timeout still uses it
		r.Cancel = c.cancel
		for _, err := range []error{errShutdown, context.Canceled, io.EOF, dialError(syscall.ECONNREFUSED)} {
			assert.Equal(t, c.want, steadyhttp.Classify(r, nil, err), "%s: %v", name, err)
		}
	}
}

func TestClassify_CancelOfAnotherCallIsNotThisCallers(t *testing.T) {
	t.Parallel()
	err := &steadyhttp.Error{Class: steadyhttp.Canceled, Err: context.Canceled}
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(newGet(t), nil, err))
	assert.Equal(t, steadyhttp.Canceled, steadyhttp.Classify(nil, nil, err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, steadyhttp.Canceled, steadyhttp.Classify(newRequest(t, ctx, http.MethodGet, ""), nil, err))
}

func TestClassify_DialThatNoticesTheDeadlineFirstIsTheCallers(t *testing.T) {
	t.Parallel()
	r := newRequest(t, laggingContext{t.Context()}, http.MethodGet, "")
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, dialError(syscall.ETIMEDOUT)))
}

func TestClassify_UnsendableRequestIsPermanent(t *testing.T) {
	t.Parallel()
	refusal := errors.New("net/http: refused")
	for name, spoil := range map[string]func(*http.Request){
		"method":        func(r *http.Request) { r.Method = "GE T" },
		"header name":   func(r *http.Request) { r.Header["X Y"] = []string{"z"} },
		"empty name":    func(r *http.Request) { r.Header[""] = []string{"z"} },
		"header value":  func(r *http.Request) { r.Header["X"] = []string{"a\nb"} },
		"DEL":           func(r *http.Request) { r.Header["X"] = []string{"\x7f"} },
		"trailer name":  func(r *http.Request) { r.Trailer = http.Header{"X:": nil} },
		"trailer value": func(r *http.Request) { r.Trailer = http.Header{"X": {"\x00"}} },
		"a lost body":   func(r *http.Request) { r.ContentLength = 7 },
		"query":         func(r *http.Request) { r.URL.RawQuery = "a\nb" },
		"no header":     func(r *http.Request) { r.Header = nil },
		"scheme":        func(r *http.Request) { r.URL.Scheme = "ftp" },
		"host":          func(r *http.Request) { r.URL.Host = "" },
		"URL":           func(r *http.Request) { r.URL = nil },
	} {
		r := newGet(t)
		spoil(r)
		assert.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(r, nil, refusal), name)
		if r.URL != nil {
			assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, io.EOF), "%s, but it was sent", name)
		}
	}
	r := newGet(t)
	r.Header["X-Odd"] = []string{"\t fine é", ""}
	r.Header["Connection"], r.Header["Transfer-Encoding"] = []string{"Keep-Alive"}, []string{""}
	r.Method, r.Host = "M-SEARCH", "/var/run/shop.sock"
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, refusal))
	r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"WebSocket"} // over HTTP/1 alone
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, refusal))
}

func TestClassify_ClassifierOverrulesOncePerAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		classifier := func(r *http.Request, response *http.Response, err error) steadyhttp.Class {
			asked++
			assert.NotNil(t, r)
			assert.NotEqual(t, response == nil, err == nil)
			if response != nil && response.StatusCode == 404 {
				return steadyhttp.Transient
			}
			return steadyhttp.Unclassified
		}
		server := newScript(status(404), fail(errReset), status(503), status(200))
		ctx, report := steadyhttp.WithReport(t.Context())
		response, err := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithClassifier(classifier)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.Equal(t, 4, asked)
		var classes []steadyhttp.Class
		for _, attempt := range report.Attempts {
			classes = append(classes, attempt.Class)
		}
		assert.Equal(t, []steadyhttp.Class{steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Success}, classes)
	})
}

func TestClassify_InvalidClassIsNoOpinion(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(404)), steadyhttp.WithClassifier(
		func(*http.Request, *http.Response, error) steadyhttp.Class { return 99 }))
	ctx, report := steadyhttp.WithReport(t.Context())
	_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Equal(t, steadyhttp.ClientFault, report.Attempts[0].Class)
}

func TestClassify_ClassifierMayGiveAnErrorAnyClass(t *testing.T) {
	t.Parallel()
	for class, stopped := range map[steadyhttp.Class]steadyhttp.StopReason{
		steadyhttp.Success: steadyhttp.StopNotRetryable, steadyhttp.ClientFault: steadyhttp.StopNotRetryable,
		steadyhttp.Throttled: steadyhttp.StopNotRetryable, steadyhttp.Permanent: steadyhttp.StopNotRetryable,
		steadyhttp.Canceled: steadyhttp.StopCanceled,
	} {
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err := newTransport(t, newScript(fail(errReset)), steadyhttp.WithClassifier(
			func(*http.Request, *http.Response, error) steadyhttp.Class { return class },
		)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.Equal(t, errReset, err, "unwrapped: one attempt, and no reason of ours")
		assert.Equal(t, stopped, report.Stopped, class)
	}
}

func TestClassify_ClassifierThatPanicsLeaksNoResponse(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	transport := newTransport(t, server, steadyhttp.WithClassifier(
		func(*http.Request, *http.Response, error) steadyhttp.Class { panic("classifier") }))
	assert.PanicsWithValue(t, "classifier", func() { _, _ = transport.RoundTrip(newGet(t)) })
	assertClosedOnce(t, server, nil)
}

func TestClassify_LongPollClassifiedCanceledIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(hang), steadyhttp.WithClassifier(func(_ *http.Request, _ *http.Response, err error) steadyhttp.Class {
			if errors.Is(err, context.DeadlineExceeded) {
				return steadyhttp.Canceled
			}
			return steadyhttp.Unclassified
		}))
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		assert.Equal(t, steadyhttp.BreakerClosed, onlyBreaker(t, transport).State)
		assert.Zero(t, onlyBreaker(t, transport).Requests)
	})
}

func TestClass_ValuesHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		names = append(names, class.String())
	}
	assert.Equal(t, []string{"unclassified", "success", "client_fault", "throttled", "not_ready", "transient", "unprocessed", "server_fault", "permanent", "canceled"}, names)
	assert.Equal(t, "10", (steadyhttp.Canceled + 1).String())
}

func TestIdempotency_KeyWithoutAValueCounts(t *testing.T) {
	t.Parallel()
	scriptCase{request: payloadRequest(http.MethodPost, "Idempotency-Key", ""), steps: []step{status(500), status(200)},
		attempts: 2, status: 200, stopped: steadyhttp.StopSuccess}.run(t)
}

func TestRetryAfter_LargestLineMayComeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503, "Retry-After", "4", "Retry-After", "1"), status(200))
		_, err := newTransport(t, server).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, server.Waits()[0], 4*time.Second)
	})
}

// What each class means, as WithClassifier's doc tells it.
var classEffects = []struct {
	class              steadyhttp.Class
	retriesGet         bool
	retriesPost        bool
	successes, failing uint32  // of the breaker, for one attempt
	earns              float64 // of the budget, for one attempt
}{
	{class: steadyhttp.Success, successes: 1, earns: 1},
	{class: steadyhttp.ClientFault, successes: 1, earns: 1},
	{class: steadyhttp.Throttled},
	{class: steadyhttp.NotReady, retriesGet: true, retriesPost: true, successes: 1},
	{class: steadyhttp.Transient, retriesGet: true, failing: 1},
	{class: steadyhttp.Unprocessed, retriesGet: true, retriesPost: true, failing: 1},
	{class: steadyhttp.ServerFault, failing: 1},
	{class: steadyhttp.Permanent, successes: 1, earns: 1},
	{class: steadyhttp.Canceled},
}

func TestClassifier_ClassDecidesOnRetries(t *testing.T) {
	t.Parallel()
	for _, c := range classEffects {
		for method, retried := range map[string]bool{http.MethodGet: c.retriesGet, http.MethodPost: c.retriesPost} {
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(200))
				transport := newTransport(t, server, classifyAs(c.class), steadyhttp.WithMaxAttempts(2))
				_, err := transport.RoundTrip(payloadRequest(method)(t, t.Context()))
				require.NoError(t, err, "a response is never dropped for an error")
				want := 1
				if retried {
					want = 2
				}
				assert.Len(t, server.Attempts(), want, "%s %s", method, c.class)
			})
		}
	}
}

func TestClassifier_ClassDecidesOnBreaker(t *testing.T) {
	t.Parallel()
	for _, c := range classEffects {
		transport := newTransport(t, newScript(status(200)), classifyAs(c.class), steadyhttp.WithMaxAttempts(1))
		sendGets(t, transport, 1)
		b := onlyBreaker(t, transport)
		assert.Equal(t, c.failing, b.Failures, c.class)
		assert.Equal(t, c.successes+c.failing, b.Requests, c.class)
	}
}

func TestClassifier_ClassDecidesOnBudget(t *testing.T) {
	t.Parallel()
	for _, c := range classEffects {
		synctest.Test(t, func(t *testing.T) {
			class := steadyhttp.Transient
			server := newScript(status(200))
			transport := newTransport(t, server, steadyhttp.WithMaxAttempts(2), steadyhttp.WithRetryBudget(1, 1), steadyhttp.WithoutBreaker(),
				steadyhttp.WithBackoff(1, 1), steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class { return class }))
			require.Equal(t, 1, countRetries(t, transport, server), "a budget begins full")
			class = c.class
			before := len(server.Attempts())
			sendGets(t, transport, 1)
			require.Equal(t, 1, len(server.Attempts())-before, "a %s finds it empty", c.class)
			class = steadyhttp.Transient
			assert.Equal(t, int(c.earns), countRetries(t, transport, server), c.class)
		})
	}
}

func TestClassifier_NotReadyWaitsAsTheResponseSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(404, "Retry-After", "3"), status(409), status(200))
		transport := newTransport(t, server, steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			if response.StatusCode == 404 || response.StatusCode == 409 {
				return steadyhttp.NotReady
			}
			return steadyhttp.Unclassified
		}))
		response, err := transport.RoundTrip(newPost(t))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.GreaterOrEqual(t, server.Waits()[0], 3*time.Second)
		assert.Less(t, server.Waits()[1], 3*time.Second, "the usual backoff")
		assert.Zero(t, onlyBreaker(t, transport).Failures)
	})
}

// What a Classifier takes an error for is not all that the breaker asks: an error shows nobody's health.
func TestClassifier_NotReadyErrorIsNeutral(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(fail(errReset)), classifyAs(steadyhttp.NotReady), steadyhttp.WithMaxAttempts(1))
	sendGets(t, transport, 1)
	assert.Zero(t, onlyBreaker(t, transport).Requests)
}

func TestClassifier_ServerFaultOpensTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(500))
		transport := newTransport(t, server, append(breakerOptions(), classifyAs(steadyhttp.ServerFault))...)
		for range breakerRunFailures {
			sendGets(t, transport, 1)
			time.Sleep(breakerRunDuration)
		}
		server.AssertAttempts(t, breakerRunFailures)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestClassifier_ResponseOfItsClassesIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		response, err := newTransport(t, newScript(status(404)), classifyAs(steadyhttp.NotReady), steadyhttp.WithMaxAttempts(2)).RoundTrip(newGet(t))
		require.NoError(t, err)
		failed := checkResponse(t, response)
		assert.Equal(t, steadyhttp.NotReady, failed.Class)
		assert.Contains(t, failed.Error(), "(not ready)")
		assert.Equal(t, "The server is well but not ready: 2 attempts made, and a retry later may work.", failed.Advice())

		response, err = newTransport(t, newScript(status(500)), classifyAs(steadyhttp.ServerFault)).RoundTrip(newGet(t))
		require.NoError(t, err)
		failed = checkResponse(t, response)
		assert.Equal(t, steadyhttp.ServerFault, failed.Class)
		assert.Equal(t, steadyhttp.StopNotRetryable, failed.Stopped)
		assert.Equal(t, "Do not retry: the server itself failed.", failed.Advice())
	})
}
