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
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// An errorTree is an error made of a schedule, and what is in it that may decide its class.
type errorTree struct {
	schedule  *schedule
	sure      bool // that nothing was acted on
	permanent bool
	ours      bool
}

// A streamReset has the shape of net/http's HTTP/2 stream error, and lets itself be taken for any struct
// of that shape (http2StreamError.As).
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamReset) Error() string { return "stream reset by a test" }

func (e streamReset) As(target any) bool {
	into := reflect.ValueOf(target).Elem()
	if into.Kind() != reflect.Struct || into.NumField() != 3 || !into.Field(1).CanConvert(reflect.TypeFor[uint32]()) || into.Type().Field(1).Name != "Code" {
		return false
	}
	into.Field(1).SetUint(uint64(e.Code))
	return true
}

// An errorPair is an uncomparable error with two causes.
type errorPair []error

func (p errorPair) Error() string   { return "a pair" }
func (p errorPair) Unwrap() []error { return p }

func (e *errorTree) grow(depth int) error {
	s := e.schedule
	if depth == 0 || s.chance(40) {
		return e.leaf()
	}
	switch s.pick(8) {
	case 0:
		return fmt.Errorf("wrapped: %w", e.grow(depth-1))
	case 1:
		return &url.Error{Op: "Get", URL: targetURL, Err: e.grow(depth - 1)}
	case 2:
		op := choose(s, "dial", "read", "write", "proxyconnect", "socks connect", "remote error", "local error", "")
		e.sure = e.sure || op == "dial" || op == "proxyconnect" || op == "socks connect"
		e.permanent = e.permanent || op == "remote error"
		return &net.OpError{Op: op, Net: "tcp", Err: e.grow(depth - 1)}
	case 3:
		return errors.Join(e.grow(depth-1), e.grow(depth-1))
	case 4:
		return errorPair{e.grow(depth - 1), nil, e.grow(depth - 1)}
	case 5:
		return os.NewSyscallError("connect", e.grow(depth-1))
	case 6:
		e.permanent = true
		return &tls.CertificateVerificationError{Err: e.grow(depth - 1)}
	default:
		e.ours = true
		return &steadyhttp.Error{Class: steadyhttp.Class(s.pick(10)), Err: e.grow(depth - 1)}
	}
}

func (e *errorTree) leaf() error {
	s := e.schedule
	switch s.pick(16) {
	case 0:
		return choose(s, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded)
	case 1:
		code := syscall.Errno(s.pick(256))
		e.sure = e.sure || slices.Contains([]syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE}, code)
		return code
	case 2, 3:
		lost, temporary := s.chance(50), s.chance(50)
		e.sure, e.permanent = true, e.permanent || lost && !temporary
		return &net.DNSError{Err: "of a test", IsNotFound: lost, IsTemporary: temporary, IsTimeout: s.chance(50)}
	case 4, 5:
		code := uint32(s.pick(14))
		e.sure = e.sure || code == 7
		return streamReset{Code: code}
	case 6:
		e.sure = true
		return errors.New("http: server closed idle connection")
	case 7:
		e.permanent = true
		return choose[error](s, x509.UnknownAuthorityError{}, x509.HostnameError{Certificate: &x509.Certificate{}}, x509.CertificateInvalidError{}, x509.SystemRootsError{},
			x509.InsecureAlgorithmError(1), &net.AddrError{}, tls.RecordHeaderError{Msg: "of a test"})
	case 8:
		return choose[error](s, tls.AlertError(s.pick(256)), tlsAlert(s.pick(256)))
	case 9:
		return choose[error](s, &net.ParseError{}, net.UnknownNetworkError("x"), net.InvalidAddrError("x"), timeoutError{}, &http.MaxBytesError{}, x509.ConstraintViolationError{})
	case 10:
		e.sure = true
		return &steadyhttp.CircuitOpenError{}
	case 11:
		return steadyhttp.ErrAttemptTimeout
	case 12:
		e.ours = true
		return &steadyhttp.ResponseError{Class: steadyhttp.Class(s.pick(10))}
	case 13:
		return choose(s, http.ErrSchemeMismatch, http.ErrUseLastResponse, http.ErrBodyReadAfterClose, http.ErrHandlerTimeout, http.ErrServerClosed)
	default:
		return errors.New(string(s.text()))
	}
}

// drawRequest makes a request as callers do, or one that nobody can send, or none.
func drawRequest(s *schedule) (r *http.Request, sendable bool) {
	ctx, cancel := context.WithCancel(context.Background())
	if s.chance(10) {
		cancel()
	}
	_ = cancel // the context is its only holder
	method := choose(s, http.MethodPost, http.MethodGet, http.MethodPut, "")
	r = (&http.Request{Method: method, URL: &url.URL{Scheme: "https", Host: "api.example.com"}, Header: http.Header{}}).WithContext(ctx)
	switch s.pick(8) {
	case 0:
		r.Header["X-Text"] = []string{string(s.text())}
		return r, false
	case 1:
		r.URL = &url.URL{Scheme: string(s.text()), Host: string(s.text()), RawQuery: string(s.text())}
		return r, false
	case 2:
		r.Method = string(s.text())
		return r, false
	case 3:
		r.Trailer, r.Header = http.Header{string(s.text()): nil}, nil
		return r, false
	case 4:
		r.URL = nil
		return r, false
	case 5:
		return nil, true
	default:
		return r, true
	}
}

func drawResponse(s *schedule) *http.Response {
	code := choose(s, 200, 429, 501, 400+s.pick(100), 100+2*s.pick(250)+s.pick(2), s.pick(256)*256+s.pick(256), -s.pick(256))
	response := &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}
	for range s.pick(3) {
		response.Header.Add(choose(s, "Retry-After", "Date", "X"), choose(s, "0", "1", "-1", "junk", "Sun, 06 Nov 1994 08:49:37 GMT", string(s.text())))
	}
	return response
}

// byStatus is RFC 9110 §15 and the outcome table.
func byStatus(code int) steadyhttp.Class {
	if code == 429 {
		return steadyhttp.Throttled
	}
	if slices.Contains([]int{501, 505, 506, 507, 508, 510, 511, 526}, code) {
		return steadyhttp.Permanent
	}
	switch code / 100 {
	case 1, 2, 3:
		return steadyhttp.Success
	case 4:
		return steadyhttp.ClientFault
	default:
		return steadyhttp.Transient
	}
}

func playOutcome(t *testing.T, bytes []byte) {
	s := newSchedule(bytes)
	r, sendable := drawRequest(s)
	if s.chance(40) {
		response := drawResponse(s)
		require.Equal(t, byStatus(response.StatusCode), steadyhttp.Classify(r, response, nil))
		require.Equal(t, byStatus(response.StatusCode), steadyhttp.Classify(r, response, errReset), "a response decides alone")
		checkRetries(t, r, response, nil)
		return
	}
	require.Equal(t, steadyhttp.Unclassified, steadyhttp.Classify(r, nil, nil))
	tree := &errorTree{schedule: s}
	err := tree.grow(4)
	checkErrorClass(t, r, err, tree, sendable)
	checkRetries(t, r, nil, err)
}

func TestClassify_AnyOutcomeHasAClassAndItsRetries(t *testing.T) {
	t.Parallel()
	explore(t, 5000, 100, playOutcome)
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte("an outcome"))
	f.Fuzz(playOutcome)
}

func checkErrorClass(t *testing.T, r *http.Request, err error, tree *errorTree, sendable bool) {
	t.Helper()
	class := steadyhttp.Classify(r, nil, err)
	for _, same := range []error{fmt.Errorf("again: %w", err), &url.Error{Op: "Get", URL: targetURL, Err: err}} {
		require.Equal(t, class, steadyhttp.Classify(r, nil, same), "%T: %v", same, same)
	}
	switch {
	case r != nil && r.Context().Err() != nil:
		require.Equal(t, steadyhttp.Canceled, class)
	case tree.ours: // they keep the class that they were given
	case class == steadyhttp.Unprocessed:
		require.True(t, tree.sure, "nothing says that %v was not acted on", err)
	case class == steadyhttp.Permanent:
		require.True(t, tree.permanent || !sendable, "nothing says that %v is the same tomorrow", err)
	default:
		require.Equal(t, steadyhttp.Transient, class, "%v", err)
	}
}

// checkRetries sends the request where this is the first outcome, and a 200 the next.
func checkRetries(t *testing.T, r *http.Request, response *http.Response, err error) {
	t.Helper()
	sent := 0
	base := baseFunc{func(*http.Request) (*http.Response, error) {
		if sent++; sent == 1 {
			return response, err
		}
		return answersWell.play()
	}}
	transport := newTransport(t, base, steadyhttp.WithBackoff(1, 1), steadyhttp.WithMaxRetryAfter(0), steadyhttp.WithMaxAttempts(2))
	got, failed := transport.RoundTrip(r)
	require.NotEqual(t, got == nil, failed == nil, "exactly one of response and error")
	if r == nil || r.URL == nil || sent == 0 {
		return
	}
	class := steadyhttp.Classify(r, response, err)
	asked := response != nil && response.Header.Get("Retry-After") != "" || response != nil && len(response.Header.Values("Retry-After")) > 1
	safe := class == steadyhttp.Unprocessed || class == steadyhttp.NotReady || class == steadyhttp.Throttled && asked
	idempotent := slices.Contains([]string{"", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"}, r.Method)
	switch {
	case r.Context().Err() != nil:
		require.Equal(t, 1, sent, "nobody waits any more")
	case class == steadyhttp.Success, class == steadyhttp.ClientFault, class == steadyhttp.ServerFault, class == steadyhttp.Permanent, class == steadyhttp.Canceled, class == steadyhttp.Unclassified, class > steadyhttp.Canceled:
		require.Equal(t, 1, sent, "a %v is never retried", class)
	case !safe && !(class == steadyhttp.Transient && idempotent):
		require.Equal(t, 1, sent, "a %v %s is not retried", class, r.Method)
	case response == nil || !asked:
		require.Equal(t, 2, sent, "a %v %s is retried", class, r.Method)
	}
	if ours, ok := failed.(*steadyhttp.Error); ok {
		require.NotContains(t, ours.Error(), "\n")
	}
}

// The fuzzer found that http.Client's *url.Error hid that nobody could send the request.
func TestClassify_ClientsErrorHasTheClassOfItsCause(t *testing.T) {
	t.Parallel()
	r := newGet(t)
	r.Header.Set("X-Text", "two\nlines")
	_, err := http.DefaultClient.Do(r)
	require.ErrorAs(t, err, new(*url.Error))
	require.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(r, nil, err))
	require.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(r, nil, errors.Unwrap(err)))
}

// Of the error and of what net/http closes because of it, either may be what it tells (its
// persistConn.roundTrip); it showed in one of some hundred runs on a busy machine.
func TestClassify_ConnectionClosedOnUnsendableRequestIsPermanent(t *testing.T) {
	t.Parallel()
	closed := &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
	r := newGet(t)
	require.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, closed))
	r.ContentLength = 7
	require.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(r, nil, closed))
}
