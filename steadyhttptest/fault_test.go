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

// What the caller is told of a fault, by a Transport and over a connection. Addresses are left out.
type told struct {
	transport, http1, http2 string // "" is the same as before
	class                   steadyhttp.Class
	is                      func(error) bool
}

const (
	toldReset = "read tcp ADDRESS: read: connection reset by peer"
	toldEOF   = "unexpected EOF"
	anything  = "…"
)

var faults = map[steadyhttptest.Fault]told{
	steadyhttptest.Refused: {
		transport: "dial tcp ADDRESS: connect: connection refused",
		class:     steadyhttp.Unprocessed, is: wraps(syscall.ECONNREFUSED),
	},
	steadyhttptest.NoSuchHost: {
		transport: "dial tcp: lookup ADDRESS: no such host",
		class:     steadyhttp.Permanent, is: func(err error) bool { name := as[*net.DNSError](err); return name != nil && name.IsNotFound },
	},
	steadyhttptest.DialTimeout: {
		transport: "dial tcp ADDRESS: i/o timeout",
		class:     steadyhttp.Unprocessed, is: timesOut,
	},
	steadyhttptest.BadCertificate: {
		transport: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
		class:     steadyhttp.Permanent, is: func(err error) bool {
			refused := as[*tls.CertificateVerificationError](err)
			return refused != nil && len(refused.UnverifiedCertificates) > 0 && as[x509.UnknownAuthorityError](err).Cert != nil
		},
	},
	steadyhttptest.ResetUnread: {
		transport: toldReset, http2: anything, // it depends on how much was written
		class: steadyhttp.Transient, is: wraps(syscall.ECONNRESET),
	},
	steadyhttptest.Reset: {
		transport: toldReset,
		class:     steadyhttp.Transient, is: wraps(syscall.ECONNRESET),
	},
	steadyhttptest.EOF: {
		transport: "EOF", http2: toldEOF,
		class: steadyhttp.Transient, is: func(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF },
	},
	steadyhttptest.HalfHeader: {
		transport: `net/http: HTTP/1.x transport connection broken: malformed MIME header: missing colon: "Content-Le"`, http2: toldEOF,
		class: steadyhttp.Transient, is: func(err error) bool { return err == io.ErrUnexpectedEOF || as[textproto.ProtocolError](err) != "" },
	},
	steadyhttptest.HeaderTimeout: {
		transport: "net/http: timeout awaiting response headers", http2: "http2: timeout awaiting response headers",
		class: steadyhttp.Transient, is: func(err error) bool { return as[net.Error](err).Timeout() },
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
		class: steadyhttp.Unprocessed, is: func(err error) bool { return err == io.EOF || as[streamError](err).Code == 7 },
	},
}

// A streamError has the fields of net/http's, by which that lets itself be found.
type streamError struct {
	StreamID, Code uint32
	Cause          error
}

func (streamError) Error() string { return "" }

func wraps(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E any](err error) (found E) {
	errors.As(err, &found)
	return found
}

func timesOut(err error) bool {
	return as[net.Error](err) != nil && as[net.Error](err).Timeout() && errors.Is(err, context.DeadlineExceeded)
}

var addresses = regexp.MustCompile(`tcp \S*(\d|pipe):|lookup \S+:`)

func withoutAddress(err error) string {
	return addresses.ReplaceAllStringFunc(err.Error(), func(found string) string {
		return map[bool]string{true: "tcp ADDRESS:", false: "lookup ADDRESS:"}[found[0] == 't']
	})
}

func TestThereIsAClaimAboutEveryFault(t *testing.T) {
	t.Parallel()
	for _, fault := range steadyhttptest.Faults() {
		assert.Contains(t, faults, fault)
		assert.NotContains(t, fault.String(), "(", "%d has a name", fault)
	}
	assert.Len(t, steadyhttptest.Faults(), len(faults))
}

func TestTransportFailsAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := fails(t, steadyhttptest.NewTransport(fault), "http://127.0.0.1/things")
				assert.Equal(t, want.transport, withoutAddress(err))
				assert.Equal(t, want.class, steadyhttp.Classify(nil, nil, err))
				assert.True(t, want.is(err), "%#v", err)
			})
		})
	}
}

// fails sends a request without a body, which net/http may send again, and returns what came of it.
func fails(t *testing.T, base http.RoundTripper, url string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	response, err := base.RoundTrip(request(t, ctx, http.MethodPost, url, ""))
	require.Error(t, err)
	require.Nil(t, response)
	return err
}

// The pipe servers do it in virtual time, and so exactly.
func TestServerMakesNetHTTPFailLikeTheTransport(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { assertServed(t, wirings["HTTP1 on a pipe"], fault, want.overHTTP1(fault), want) })
			synctest.Test(t, func(t *testing.T) {
				assertServed(t, wirings["HTTP2 on a pipe"], fault, or(want.http2, want.transport), want)
			})
		})
	}
}

// overHTTP1 knows that there is no TLS.
func (w told) overHTTP1(fault steadyhttptest.Fault) string {
	if fault == steadyhttptest.BadCertificate {
		return toldReset
	}
	return or(w.http1, w.transport)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func assertServed(t *testing.T, w wiring, fault steadyhttptest.Fault, text string, want told) {
	t.Helper()
	server := w.serve(t, fault)
	base := server.Client().Transport.(*http.Transport)
	if fault == steadyhttptest.HeaderTimeout {
		base.ResponseHeaderTimeout = time.Minute
	}
	err := fails(t, base, server.URL)
	if text != anything {
		assert.Equal(t, text, withoutAddress(err))
		assert.True(t, text == toldReset || want.is(err), "%#v", err)
	}
	if text == want.transport || w.http2 {
		assert.Equal(t, want.class, steadyhttp.Classify(nil, nil, err))
	}
	server.AssertAttempts(t, map[bool]int{true: 8, false: 1}[w.http2 && fault == steadyhttptest.RefusedStream])
}

// On a socket, what a reset looks like is a matter of luck; that it is one, or an end, is not.
func TestServerFailsOnSocketsToo(t *testing.T) {
	t.Parallel()
	for fault, want := range faults {
		if fault == steadyhttptest.Hang || fault == steadyhttptest.HeaderTimeout || fault == steadyhttptest.RefusedStream {
			continue // they take time, or would; the next test has them
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

func TestServerHangsUntilTheClientIsGone(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, w wiring) {
		for _, fault := range []steadyhttptest.Fault{steadyhttptest.Hang, steadyhttptest.HeaderTimeout} {
			server := w.serve(t, fault)
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

func TestRefusedStreamIsSentAgainByNetHTTP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := wirings["HTTP2 on a pipe"].serve(t, steadyhttptest.RefusedStream, steadyhttptest.RefusedStream, steadyhttptest.Status(200))
		code, _ := exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodPost, server.URL, "payload"))
		assert.Equal(t, 200, code)
		server.AssertAttempts(t, 3)
	})
}

func TestRefusedStreamOfABodyThatCannotBeSentAgainIsToldTheSameWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := wirings["HTTP2 on a pipe"].serve(t, steadyhttptest.RefusedStream)
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

func TestStreamErrorFillsOnlyItsLike(t *testing.T) {
	t.Parallel()
	_, err := steadyhttptest.NewTransport(steadyhttptest.RefusedStream).RoundTrip(get(t))
	assert.Equal(t, streamError{StreamID: 1, Code: 7, Cause: errors.New("received from peer")}, as[streamError](err))
	assert.Zero(t, as[renamed](err))
	assert.Zero(t, as[retyped](err))
	assert.Zero(t, as[shorter](err))
	assert.Zero(t, as[*net.OpError](err))
}

type renamed struct {
	ID, Code uint32
	Cause    error
}

type retyped struct {
	StreamID []int
	Code     uint32
	Cause    error
}

type shorter struct{ StreamID, Code uint32 }

func (renamed) Error() string { return "" }
func (retyped) Error() string { return "" }
func (shorter) Error() string { return "" }

func TestErrorsNameTheAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://api.example.com/":       "dial tcp api.example.com:80: connect: connection refused",
		"https://api.example.com/":      "dial tcp api.example.com:443: connect: connection refused",
		"https://api.example.com:8443/": "dial tcp api.example.com:8443: connect: connection refused",
		"https://[::1]:8443/":           "dial tcp [::1]:8443: connect: connection refused",
	} {
		_, err := steadyhttptest.Refused.RoundTrip(request(t, t.Context(), http.MethodGet, url, ""))
		assert.EqualError(t, err, want)
		assert.Equal(t, "tcp", as[*net.OpError](err).Addr.Network())
	}
}
