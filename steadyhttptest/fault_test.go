package steadyhttptest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"regexp"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A faultOutcome is the error that a fault causes, by a Transport and over a connection. Addresses are left out.
type faultOutcome struct {
	transport, http1, http2 string // "" means the same as the one before
	class                   steadyhttp.Class
	is                      func(error) bool
}

const (
	resetError = "read tcp ADDRESS: read: connection reset by peer"
	eofError   = "unexpected EOF"
	anyError   = "…"
)

var faults = map[steadyhttptest.Fault]faultOutcome{
	steadyhttptest.Refused: {
		transport: "dial tcp ADDRESS: connect: connection refused",
		class:     steadyhttp.Unprocessed, is: wraps(syscall.ECONNREFUSED),
	},
	steadyhttptest.NoSuchHost: {
		transport: "dial tcp: lookup ADDRESS: no such host",
		class:     steadyhttp.Permanent, is: func(err error) bool { name := errorAs[*net.DNSError](err); return name != nil && name.IsNotFound },
	},
	steadyhttptest.DialTimeout: {
		transport: "dial tcp ADDRESS: i/o timeout",
		class:     steadyhttp.Unprocessed, is: timesOut,
	},
	steadyhttptest.BadCertificate: {
		transport: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
		class:     steadyhttp.Permanent, is: func(err error) bool {
			refused := errorAs[*tls.CertificateVerificationError](err)
			return refused != nil && len(refused.UnverifiedCertificates) > 0 && errorAs[x509.UnknownAuthorityError](err).Cert != nil
		},
	},
	steadyhttptest.ResetUnread: {
		transport: resetError, http2: anyError, // it depends on how much was written
		class: steadyhttp.Transient, is: wraps(syscall.ECONNRESET),
	},
	steadyhttptest.Reset: {
		transport: resetError,
		class:     steadyhttp.Transient, is: wraps(syscall.ECONNRESET),
	},
	steadyhttptest.EOF: {
		transport: "EOF", http2: eofError,
		class: steadyhttp.Transient, is: func(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF },
	},
	steadyhttptest.HalfHeader: {
		transport: `net/http: HTTP/1.x transport connection broken: malformed MIME header: missing colon: "Content-Le"`, http2: eofError,
		class: steadyhttp.Transient, is: func(err error) bool { return err == io.ErrUnexpectedEOF || errorAs[textproto.ProtocolError](err) != "" },
	},
	steadyhttptest.HeaderTimeout: {
		transport: "net/http: timeout awaiting response headers", http2: "http2: timeout awaiting response headers",
		class: steadyhttp.Transient, is: func(err error) bool { return errorAs[net.Error](err).Timeout() },
	},
	steadyhttptest.Hang: {
		transport: "context deadline exceeded",
		class:     steadyhttp.Transient, is: wraps(context.DeadlineExceeded),
	},
	steadyhttptest.GoAway: {
		transport: `http2: server sent GOAWAY and closed the connection; LastStreamID=2147483647, ErrCode=NO_ERROR, debug=""`,
		http1:     "EOF", http2: `http2: server sent GOAWAY and closed the connection; LastStreamID=2147483647, ErrCode=NO_ERROR, debug=""`,
		class: steadyhttp.Transient, is: func(error) bool { return true },
	},
	steadyhttptest.RefusedStream: {
		transport: "stream error: stream ID 1; REFUSED_STREAM; received from peer",
		http1:     "EOF", http2: "stream error: stream ID 15; REFUSED_STREAM; received from peer", // the eighth
		class: steadyhttp.Unprocessed, is: func(err error) bool { return err == io.EOF || errorAs[streamError](err).Code == 7 },
	},
}

// A streamError has the fields of net/http's own, so errors.As can fill it.
type streamError struct {
	StreamID, Code uint32
	Cause          error
}

func (streamError) Error() string { return "" }

var addresses = regexp.MustCompile(`tcp \S*(\d|pipe):|lookup \S+:`)

func withoutAddresses(err error) string {
	return addresses.ReplaceAllStringFunc(err.Error(), func(found string) string {
		return map[bool]string{true: "tcp ADDRESS:", false: "lookup ADDRESS:"}[found[0] == 't']
	})
}

func TestFault_EveryFaultHasATest(t *testing.T) {
	t.Parallel()
	for _, fault := range steadyhttptest.Faults() {
		assert.Contains(t, faults, fault)
		assert.NotContains(t, fault.String(), "(", "%d has a name", fault)
	}
	assert.Len(t, steadyhttptest.Faults(), len(faults))
}

func TestTransport_FailsAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := fails(t, steadyhttptest.NewTransport(fault), "http://127.0.0.1/things")
				assert.Equal(t, want.transport, withoutAddresses(err))
				assert.Equal(t, want.class, steadyhttp.Classify(nil, nil, err))
				assert.True(t, want.is(err), "%#v", err)
			})
		})
	}
}

// fails sends a request without a body, which net/http may retry, and returns the error.
func fails(t *testing.T, base http.RoundTripper, url string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	response, err := base.RoundTrip(request(t, ctx, http.MethodPost, url, ""))
	require.Error(t, err)
	require.Nil(t, response)
	return err
}

// The pipe servers use virtual time, so the outcome is exact.
func TestServer_MakesNetHTTPFailLikeTheTransport(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				assertServed(t, serverKinds["HTTP1 on a pipe"], fault, want.overHTTP1(fault), want)
			})
			inHTTP2Bubble(t, func(t *testing.T) {
				assertServed(t, serverKinds["HTTP2 on a pipe"], fault, or(want.http2, want.transport), want)
			})
		})
	}
}

// overHTTP1 is without TLS, so there is no bad certificate.
func (o faultOutcome) overHTTP1(fault steadyhttptest.Fault) string {
	if fault == steadyhttptest.BadCertificate {
		return resetError
	}
	return or(o.http1, o.transport)
}

func assertServed(t *testing.T, kind serverKind, fault steadyhttptest.Fault, text string, want faultOutcome) {
	t.Helper()
	server := kind.serve(t, fault)
	base := server.Client().Transport.(*http.Transport)
	if fault == steadyhttptest.HeaderTimeout {
		base.ResponseHeaderTimeout = time.Minute
	}
	err := fails(t, base, server.URL)
	if text != anyError {
		assert.Equal(t, text, withoutAddresses(err))
		assert.True(t, text == resetError || want.is(err), "%#v", err)
	}
	if text == want.transport || kind.http2 {
		assert.Equal(t, want.class, steadyhttp.Classify(nil, nil, err))
	}
	server.AssertAttempts(t, map[bool]int{true: 8, false: 1}[kind.http2 && fault == steadyhttptest.RefusedStream])
}

// On a socket, the exact error of a reset depends on timing. Its class does not.
func TestServer_FailsOnSocketsToo(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		if fault == steadyhttptest.Hang || fault == steadyhttptest.HeaderTimeout || fault == steadyhttptest.RefusedStream {
			continue // they take time; other tests have them
		}
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			for _, start := range []func(...steadyhttptest.Step) *steadyhttptest.Server{steadyhttptest.NewServer, steadyhttptest.NewTLSServer} {
				server := start(fault)
				defer server.Close()
				err := fails(t, server.Client().Transport, server.URL)
				if fault == steadyhttptest.BadCertificate && server.Certificate() == nil {
					assert.ErrorIs(t, err, syscall.ECONNRESET)
				} else {
					assert.Equal(t, want.class, steadyhttp.Classify(nil, nil, err), "%v", err)
				}
				server.AssertAttempts(t, 1)
			}
		})
	}
}

func TestServer_HangsUntilTheClientGivesUp(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		for _, fault := range []steadyhttptest.Fault{steadyhttptest.Hang, steadyhttptest.HeaderTimeout} {
			server := kind.serve(t, fault)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := server.Client().Transport.RoundTrip(request(t, ctx, http.MethodGet, server.URL, ""))
				done <- err
			}()
			cancelOnArrival(server, 1, cancel)
			assert.ErrorIs(t, <-done, context.Canceled)
		}
	})
}

func TestServer_RefusedStreamIsRetriedByNetHTTP(t *testing.T) {
	t.Parallel()
	inHTTP2Bubble(t, func(t *testing.T) {
		server := serverKinds["HTTP2 on a pipe"].serve(t, steadyhttptest.RefusedStream, steadyhttptest.RefusedStream, steadyhttptest.Status(200))
		code, _ := exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodPost, server.URL, "payload"))
		assert.Equal(t, 200, code)
		server.AssertAttempts(t, 3)
	})
}

func TestFault_RefusedStreamWithoutGetBodyIsNetHTTPsError(t *testing.T) {
	t.Parallel()
	inHTTP2Bubble(t, func(t *testing.T) {
		server := serverKinds["HTTP2 on a pipe"].serve(t, steadyhttptest.RefusedStream)
		var texts []string
		for _, base := range []http.RoundTripper{server.Client().Transport, steadyhttptest.NewTransport(steadyhttptest.RefusedStream)} {
			r := request(t, t.Context(), http.MethodPut, server.URL, "payload")
			r.GetBody = nil
			_, err := base.RoundTrip(r)
			require.Error(t, err)
			texts = append(texts, err.Error())
		}
		assert.Equal(t, texts[0], texts[1])
		assert.Contains(t, texts[0], "REFUSED_STREAM")
	})
}

func TestFault_StreamErrorFillsOnlyStructsWithItsFields(t *testing.T) {
	t.Parallel()
	_, err := steadyhttptest.NewTransport(steadyhttptest.RefusedStream).RoundTrip(get(t))
	assert.Equal(t, streamError{StreamID: 1, Code: 7, Cause: errors.New("received from peer")}, errorAs[streamError](err))
	assert.Zero(t, errorAs[otherNames](err))
	assert.Zero(t, errorAs[otherTypes](err))
	assert.Zero(t, errorAs[fewerFields](err))
	assert.Zero(t, errorAs[*net.OpError](err))
}

type otherNames struct {
	ID, Code uint32
	Cause    error
}

type otherTypes struct {
	StreamID []int
	Code     uint32
	Cause    error
}

type fewerFields struct{ StreamID, Code uint32 }

func (otherNames) Error() string  { return "" }
func (otherTypes) Error() string  { return "" }
func (fewerFields) Error() string { return "" }

func TestFault_ErrorsNameTheAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://api.example.com/":       "dial tcp api.example.com:80: connect: connection refused",
		"https://api.example.com/":      "dial tcp api.example.com:443: connect: connection refused",
		"https://api.example.com:8443/": "dial tcp api.example.com:8443: connect: connection refused",
		"https://[::1]:8443/":           "dial tcp [::1]:8443: connect: connection refused",
	} {
		_, err := steadyhttptest.Refused.RoundTrip(request(t, t.Context(), http.MethodGet, url, ""))
		assert.EqualError(t, err, want)
		assert.Equal(t, "tcp", errorAs[*net.OpError](err).Addr.Network())
	}
}
