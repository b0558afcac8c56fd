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
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// Our own side, or a proxy, refuses before there is a connection to the server: nothing is gained by another attempt,
// and nothing said about the server. Most of these errors have no type.

// bases are ways to come to net/http's transport.
var bases = map[string]func(*http.Transport) http.RoundTripper{
	"net/http":  func(base *http.Transport) http.RoundTripper { return base },
	"a wrapper": func(base *http.Transport) http.RoundTripper { return baseFunc{base.RoundTrip} },
}

// runEachBase runs a test for idempotent requests and others, over net/http and over a wrapper around it.
func runEachBase(t *testing.T, run func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper)) {
	t.Helper()
	for name, wrap := range bases {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				run(t, method, wrap)
			})
		}
	}
}

// assertRefused makes a call and checks that it made one attempt, whose error is returned as it is, and that the
// breaker did not hear of it.
func assertRefused(t *testing.T, base http.RoundTripper, r *http.Request) error {
	t.Helper()
	transport := newTransport(t, base, fastRetryOptions()...)
	call := sendWire(t, transport, r)
	call.assertFailedOnce(t, steadyhttp.Permanent)
	assert.Equal(t, steadyhttp.StopNotRetryable, call.Stopped)
	assertBreakerCount(t, transport, breakerCount{0, 0})
	return call.err
}

// assertRetriedUnprocessed makes a call that fails until its attempts are used up, and checks that the server was
// blamed for each of them.
func assertRetriedUnprocessed(t *testing.T, base http.RoundTripper, r *http.Request) {
	t.Helper()
	transport := newTransport(t, base, fastRetryOptions()...)
	call := sendWire(t, transport, r)
	call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Unprocessed)
	assertBreakerCount(t, transport, breakerCount{4, 4})
}

func TestProxy_ClientErrorToConnectIsARefusal(t *testing.T) {
	t.Parallel()
	for code := 400; code < 500; code++ {
		if http.StatusText(code) == "" {
			continue
		}
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			proxy := newConnectProxy(t, fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code)))
			err := assertRefused(t, &http.Transport{Proxy: http.ProxyURL(proxy.url)}, newPost(t))
			assert.EqualError(t, err, http.StatusText(code))
			assert.EqualValues(t, 1, proxy.asked.Load())
		})
	}
}

func TestProxy_RefusalInWordsOfItsOwnIsARefusal(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"HTTP/1.1 407 authenticationrequired", "HTTP/1.1 407 the server requires authorization", "HTTP/1.1 407 Bad credentials",
		"HTTP/1.1 403 Not permitted", "HTTP/1.1 403 PROHIBITED",
		"HTTP/1.1 403 Access Denied", "HTTP/1.0 403 forbidden by policy", "HTTP/1.1 403 URLBlocked", "HTTP/1.1 470 Connection not allowed",
		"HTTP/1.0 400 Bad request", "HTTP/1.0 408 Request Time-out", "HTTP/1.1 404 not found", // the first two are HAProxy's
		"HTTP/1.1 413 Payload Too Large", "HTTP/1.1 302 Found", "HTTP/1.1 204 No Content",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			proxy := newConnectProxy(t, line)
			base := &http.Transport{Proxy: http.ProxyURL(proxy.url)}
			assertRefused(t, base, newPost(t))
			assertRefused(t, baseFunc{func(r *http.Request) (*http.Response, error) {
				response, err := base.RoundTrip(r)
				return response, &url.Error{Op: "Post", URL: r.URL.String(), Err: err}
			}}, newPost(t))
			assert.EqualValues(t, 2, proxy.asked.Load())
		})
	}
}

func TestProxy_AuthenticationIsRequiredOnlyOnce(t *testing.T) {
	t.Parallel()
	runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
		server := newWireServer(t, startTLS, echoHandler)
		for name, proxy := range map[string]*connectProxy{
			"by HTTP":  newConnectProxy(t, "HTTP/1.1 407 Proxy Authentication Required"),
			"by HTTPS": newConnectProxy(t, "HTTP/1.1 407 Proxy Authentication Required", server.TLS.Certificates...),
		} {
			for _, address := range []*url.URL{proxy.url, proxy.withPassword()} {
				before := proxy.asked.Load()
				base := &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: newClientTLS(server)}
				err := assertRefused(t, wrap(base), newWireRequest(t, method, server.URL, ""))
				assert.EqualError(t, err, "Proxy Authentication Required", name)
				assert.EqualValues(t, before+1, proxy.asked.Load(), name)
			}
		}
		assert.Zero(t, server.connections.Load())
	})
}

func TestProxy_ServerErrorToConnectIsRetried(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"HTTP/1.1 500 Internal Server Error", "HTTP/1.1 502 Bad Gateway", "HTTP/1.1 503 Service Temporarily Unavailable", "HTTP/1.1 504 Gateway Time-out",
		"HTTP/1.1 503 Forwarding failure", "HTTP/1.1 502", "HTTP/1.1 599 ",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
				proxy := newConnectProxy(t, line)
				assertRetriedUnprocessed(t, wrap(&http.Transport{Proxy: http.ProxyURL(proxy.url)}), newWireRequest(t, method, targetURL, ""))
				assert.EqualValues(t, 4, proxy.asked.Load())
			})
		})
	}
}

// Once an origin has responded, its next first attempt is not traced: then the exact phrase must do.
func TestProxy_RefusalIsFoundAfterASuccessToo(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	proxies := []*connectProxy{newConnectProxy(t, ""), newConnectProxy(t, "HTTP/1.1 407 Proxy Authentication Required")}
	var chosen atomic.Int64
	base := &http.Transport{TLSClientConfig: newClientTLS(server), DisableKeepAlives: true, Proxy: func(*http.Request) (*url.URL, error) {
		return proxies[min(chosen.Add(1), 2)-1].url, nil
	}}
	transport := newWireTransport(t, base)
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")).assertResponse(t, 200, "GET ")
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")).assertFailedOnce(t, steadyhttp.Permanent)
	assertBreakerCount(t, transport, breakerCount{0, 1})
}

// What RFC 1928 and RFC 1929 have a proxy say.
const (
	socksNoLogin       = "\x05\x00"
	socksLogin         = "\x05\x02"
	socksNoMethod      = "\x05\xff"
	socksLoginAccepted = "\x01\x00"
	socksLoginRefused  = "\x01\x01"
)

func socksReply(code byte) string {
	return string([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
}

func TestProxy_SOCKSRefusalIsARefusal(t *testing.T) {
	t.Parallel()
	for want, replies := range map[string][]string{
		"username/password authentication failed":          {socksLogin, socksLoginRefused},
		"no acceptable authentication methods":             {socksNoMethod},
		"unsupported authentication method 1":              {"\x05\x01"},
		"unexpected protocol version 72":                   {"HTTP/1.1 400 Bad Request\r\n\r\n"},
		"unknown error connection not allowed by ruleset":  {socksNoLogin, socksReply(2)},
		"unknown error connection not allowed by ruleset ": {socksLogin, socksLoginAccepted, socksReply(2)},
		"invalid username/password version":                {socksLogin, "\x00\x00"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
				proxy, asked := newSOCKSProxy(t, replies...)
				for scheme := range 2 {
					r := newWireRequest(t, method, []string{"http", "https"}[scheme]+"://steady.example/", "")
					err := assertRefused(t, wrap(&http.Transport{Proxy: http.ProxyURL(proxy)}), r)
					assert.ErrorContains(t, err, strings.TrimSpace(want))
					assert.EqualValues(t, scheme+1, asked.Load())
				}
			})
		})
	}
}

func TestProxy_SOCKSFailureIsRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []byte{1, 3, 4, 5, 6, 7, 8, 9} {
		t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
			t.Parallel()
			proxy, asked := newSOCKSProxy(t, socksNoLogin, socksReply(code))
			assertRetriedUnprocessed(t, &http.Transport{Proxy: http.ProxyURL(proxy)}, newPost(t))
			assert.EqualValues(t, 4, asked.Load())
		})
	}
}

func TestProxy_SOCKSProxyThatHangsUpIsRetried(t *testing.T) {
	t.Parallel()
	proxy := &url.URL{Scheme: "socks5", Host: newTCPServer(t, readSome)}
	assertRetriedUnprocessed(t, &http.Transport{Proxy: http.ProxyURL(proxy)}, newPost(t))
}

var errRefusal = errors.New("not on my watch")

// A customRefusal has all methods of a net.Error, and says nothing by them.
type customRefusal struct{ reason string }

func (r *customRefusal) Error() string   { return r.reason }
func (r *customRefusal) Timeout() bool   { return false }
func (r *customRefusal) Temporary() bool { return false }

// refusals are what functions of a user return.
var refusals = map[string]error{
	"an error":                        errRefusal,
	"a wrapped one":                   fmt.Errorf("pinning: %w", errRefusal),
	"a net.Error that is no accident": &customRefusal{"not on my watch"},
	"several":                         errors.Join(errRefusal, errors.New("and not on mine")),
}

// runEachRefusal runs a test for each of refusals.
func runEachRefusal(t *testing.T, run func(t *testing.T, refusal error)) {
	t.Helper()
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, refusal)
		})
	}
}

func TestProxy_ErrorOfTheFunctionThatChoosesItIsARefusal(t *testing.T) {
	t.Parallel()
	runEachRefusal(t, func(t *testing.T, refusal error) {
		base := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, refusal }}
		assert.Equal(t, refusal, assertRefused(t, base, newPost(t)))
	})
}

func TestProxy_ErrorOfConnectsHooksIsARefusal(t *testing.T) {
	t.Parallel()
	runEachRefusal(t, func(t *testing.T, refusal error) {
		for name, hook := range map[string]func(*http.Transport){
			"GetProxyConnectHeader": func(base *http.Transport) {
				base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, refusal }
			},
			"OnProxyConnectResponse": func(base *http.Transport) {
				base.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return refusal }
			},
		} {
			proxy := newConnectProxy(t, "HTTP/1.1 200 OK")
			base := &http.Transport{Proxy: http.ProxyURL(proxy.url)}
			hook(base)
			assert.Equal(t, refusal, assertRefused(t, base, newPost(t)), name)
		}
	})
}

func TestDial_ErrorOfAnOwnDialerIsARefusal(t *testing.T) {
	t.Parallel()
	runEachRefusal(t, func(t *testing.T, refusal error) {
		refuse := func(context.Context, string, string) (net.Conn, error) { return nil, refusal }
		control := net.Dialer{ControlContext: func(context.Context, string, string, syscall.RawConn) error { return refusal }}
		oldControl := net.Dialer{Control: func(string, string, syscall.RawConn) error { return refusal }}
		for name, configure := range map[string]func(*http.Transport){
			"DialContext":    func(base *http.Transport) { base.DialContext = refuse },
			"DialTLSContext": func(base *http.Transport) { base.DialTLSContext = refuse },
			"ControlContext": func(base *http.Transport) { base.DialContext = control.DialContext },
			"Control":        func(base *http.Transport) { base.DialContext = oldControl.DialContext },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
					base := &http.Transport{}
					configure(base)
					require.ErrorIs(t, assertRefused(t, wrap(base), newWireRequest(t, method, "https://127.0.0.1:1", "")), refusal)
					base.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: "127.0.0.1:1"})
					require.ErrorIs(t, assertRefused(t, wrap(base), newWireRequest(t, method, targetURL, "")), refusal, "through a proxy")
				})
			})
		}
	})
}

// It checks whom it got to, as a guard against requests to inner addresses may.
func TestDial_OwnDialerMayRefuseOnceItIsConnected(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	guard := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialDefault(ctx, network, address)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		return nil, errRefusal
	}
	err := assertRefused(t, &http.Transport{DialContext: guard}, newWireRequest(t, http.MethodPost, server.URL, ""))
	assert.Equal(t, errRefusal, err)
}

// A dialer may also fail by accident, and says so in the usual ways.
func TestDial_AccidentOfAnOwnDialerIsRetried(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, canceled := dialDefault(ended, "tcp", newRefusingAddress(t))
	for name, accident := range map[string]error{
		"an errno":      fmt.Errorf("tunnel: %w", syscall.ECONNREFUSED),
		"a timeout":     fmt.Errorf("tunnel: %w", timeoutError{}),
		"a name":        fmt.Errorf("tunnel: %w", &net.DNSError{IsTemporary: true}),
		"an end":        fmt.Errorf("tunnel: %w", io.EOF),
		"a closed pipe": fmt.Errorf("tunnel: %w", io.ErrClosedPipe),
		"a deadline":    fmt.Errorf("tunnel: %w", context.DeadlineExceeded),
		"a cancel":      canceled, // of a type of package net's
		"temporary":     fmt.Errorf("tunnel: %w", headerTimeoutError{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
				fail := func(context.Context, string, string) (net.Conn, error) { return nil, accident }
				assertRetriedUnprocessed(t, wrap(&http.Transport{DialContext: fail}), newWireRequest(t, method, targetURL, ""))
			})
		})
	}
}

// A wrapper that does not wrap hides the cause, but not what the connection went through.
func TestDial_AccidentIsFoundUnderAWrapperThatHidesIt(t *testing.T) {
	t.Parallel()
	base := &http.Transport{}
	hide := baseFunc{func(r *http.Request) (*http.Response, error) {
		_, err := base.RoundTrip(r)
		return nil, errors.New("upstream: " + err.Error())
	}}
	assertRetriedUnprocessed(t, hide, newWireRequest(t, http.MethodPost, "http://"+newRefusingAddress(t), ""))
}

func TestTLS_ErrorOfAHookIsARefusal(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	server.TLS.ClientAuth = tls.RequestClientCert
	runEachRefusal(t, func(t *testing.T, refusal error) {
		for name, configure := range map[string]func(*tls.Config){
			"VerifyPeerCertificate": func(c *tls.Config) {
				c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return refusal }
			},
			"VerifyConnection": func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return refusal } },
			"GetClientCertificate": func(c *tls.Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, refusal }
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
					config := newClientTLS(server)
					configure(config)
					proxy := newConnectProxy(t, "")
					for _, proxied := range []func(*http.Request) (*url.URL, error){nil, http.ProxyURL(proxy.url)} {
						base := &http.Transport{TLSClientConfig: config, Proxy: proxied}
						require.ErrorIs(t, assertRefused(t, wrap(base), newWireRequest(t, method, server.URL, "")), refusal)
					}
				})
			})
		}
	})
	assert.Zero(t, server.arrived.Load())
}

// An https proxy's TLS is refused like the server's.
func TestTLS_RefusedProxyIsARefusal(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	proxy := newConnectProxy(t, "", server.TLS.Certificates...)
	for _, config := range []*tls.Config{
		{RootCAs: x509.NewCertPool()},
		{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return errRefusal }},
	} {
		base := &http.Transport{Proxy: http.ProxyURL(proxy.url), TLSClientConfig: config}
		assertRefused(t, base, newWireRequest(t, http.MethodPost, server.URL, ""))
	}
}

// Without a Transport, which watches, an error of package net still says that it comes of a dial.
func TestClassify_RefusalInADialIsPermanent(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"dial", "proxyconnect", "socks connect"} {
		for _, refusal := range refusals {
			assert.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(nil, nil, &net.OpError{Op: op, Net: "tcp", Err: refusal}), "%s: %v", op, refusal)
		}
		assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, &net.OpError{Op: op, Net: "tcp", Err: syscall.ECONNREFUSED}), op)
	}
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(nil, nil, &net.OpError{Op: "read", Net: "tcp", Err: errRefusal}))
}
