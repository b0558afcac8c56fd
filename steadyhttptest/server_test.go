package steadyhttptest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestServer_PlaysTheScript(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Status(503).Header("Retry-After", "2").Body("sorry"), steadyhttptest.Status(200))
		r := request(t, t.Context(), http.MethodPut, server.URL+"/things?q=1", "payload")
		r.Header.Set("Tenant", "a")
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		assert.Equal(t, "2", response.Header.Get("Retry-After"))
		assert.EqualValues(t, 5, response.ContentLength)
		assert.Equal(t, map[bool]int{false: 1, true: 2}[kind.http2], response.ProtoMajor)
		code, content := read(t, response, err)
		assert.Equal(t, 503, code)
		assert.Equal(t, "sorry", content)

		response, err = server.Client().Get(server.URL)
		code, _ = read(t, response, err)
		assert.Equal(t, 200, code)

		attempts := server.Attempts()
		require.Len(t, attempts, 2)
		assert.Equal(t, "PUT", attempts[0].Method)
		assert.Equal(t, server.URL+"/things?q=1", attempts[0].URL)
		assert.Equal(t, "a", attempts[0].Header.Get("Tenant"))
		assert.Equal(t, "payload", string(attempts[0].Body))
		assert.EqualValues(t, 7, attempts[0].BodySize)
		assert.NotNil(t, attempts[0].Request)
		assert.Equal(t, steadyhttptest.Status(200), attempts[1].Step)
		assert.Len(t, server.Waits(), 1)
	})
}

func TestServer_KeepsTheConnectionBetweenResponsesButNotBeforeAFault(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		steps := []steadyhttptest.Step{
			steadyhttptest.Status(200), steadyhttptest.Status(503), steadyhttptest.Reset,
			steadyhttptest.Handler(http.NotFoundHandler()), steadyhttptest.Hang, // it breaks nothing; the client gives up
			steadyhttptest.Func(ignoreBody), steadyhttptest.HeaderTimeout,
		}
		server := kind.serve(t, steps...)
		var reused []bool
		traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(got httptrace.GotConnInfo) { reused = append(reused, got.Reused) },
		})
		for n, step := range steps {
			ctx, cancel := context.WithCancel(traced)
			if step == steadyhttptest.Hang || step == steadyhttptest.HeaderTimeout {
				go cancelOnArrival(server, n+1, cancel)
			}
			response, err := server.Client().Transport.RoundTrip(request(t, ctx, http.MethodPost, server.URL, ""))
			if err == nil {
				read(t, response, err)
			}
			cancel()
		}
		server.AssertAttempts(t, len(steps))
		assert.Equal(t, []bool{false, true, false, false, true}, reused[:5])
		assert.True(t, reused[6])
	})
}

func TestServer_BodyEndsAsAsked(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		server := kind.serve(t, steadyhttptest.Status(200).Body("abc").Truncated(), steadyhttptest.Status(200).Body("abc").Stalled())
		response, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, "abc", string(content))
		assert.Equal(t, io.ErrUnexpectedEOF, err)

		response, err = server.Client().Do(request(t, ctx, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		assert.EqualValues(t, 4, response.ContentLength)
		_, err = io.ReadFull(response.Body, make([]byte, 3))
		require.NoError(t, err, "what comes before the stall is not held back")
		cancel()
		_, err = io.ReadAll(response.Body)
		assert.Equal(t, context.Canceled, err)
	})
}

// What stalls is the body, even before its first byte: the header is there.
func TestServer_BodyThatIsEmptySoFarHasItsHeader(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		for _, step := range []steadyhttptest.Step{
			steadyhttptest.Status(200).Stalled(), steadyhttptest.Status(200).Endless(), steadyhttptest.NewFile("0123").StallAfter(0),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			server := kind.serve(t, step)
			response, err := server.Client().Do(request(t, ctx, http.MethodGet, server.URL, ""))
			require.NoError(t, err, step)
			cancel()
			_, err = io.ReadAll(response.Body)
			assert.ErrorIs(t, err, context.Canceled)
			require.NoError(t, response.Body.Close())
		}
	})
}

func TestServer_EndlessBodyHasNoEnd(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Status(200).Body("abc").Endless())
		response, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		assert.EqualValues(t, -1, response.ContentLength)
		content := make([]byte, 3<<16) // more than a pipe holds
		_, err = io.ReadFull(response.Body, content)
		require.NoError(t, err)
		assert.True(t, strings.Repeat("abc", 1<<16) == string(content))
		require.NoError(t, response.Body.Close())
	})
}

func TestServer_SendsNoBodyWhereHTTPHasNone(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Status(204), steadyhttptest.Status(304), steadyhttptest.Status(200).Endless())
		for _, code := range []int{204, 304} {
			response, err := server.Client().Get(server.URL)
			got, content := read(t, response, err)
			assert.Equal(t, code, got)
			assert.Empty(t, content)
		}
		response, err := server.Client().Head(server.URL)
		_, content := read(t, response, err)
		assert.Empty(t, content)
	})
}

func TestServer_PlaysFuncAndHandler(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t,
			steadyhttptest.Func(func(r *http.Request) (*http.Response, error) {
				content, err := io.ReadAll(r.Body)
				return &http.Response{StatusCode: 201, Header: http.Header{"Via": {"func"}}, Body: io.NopCloser(strings.NewReader("got " + string(content)))}, err
			}),
			steadyhttptest.Func(func(*http.Request) (*http.Response, error) { return &http.Response{}, nil }),
			steadyhttptest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(202)
				_, _ = fmt.Fprint(w, r.Method)
			})),
			steadyhttptest.Delay(time.Millisecond, steadyhttptest.Func(func(*http.Request) (*http.Response, error) { return nil, mine })),
			steadyhttptest.Func(func(*http.Request) (*http.Response, error) { return nil, nil }),
			steadyhttptest.Fail(mine),
		)
		send := func() (*http.Response, error) {
			return server.Client().Transport.RoundTrip(request(t, t.Context(), http.MethodPatch, server.URL, "payload"))
		}
		response, err := send()
		require.NoError(t, err)
		assert.Equal(t, "func", response.Header.Get("Via"))
		code, content := read(t, response, err)
		assert.Equal(t, 201, code)
		assert.Equal(t, "got payload", content)
		response, err = send()
		code, _ = read(t, response, err)
		assert.Equal(t, 200, code)
		response, err = send()
		code, content = read(t, response, err)
		assert.Equal(t, 202, code)
		assert.Equal(t, "PATCH", content)
		for range 3 {
			_, err = send()
			assert.Error(t, err)
		}
		assert.Equal(t, "payload", string(server.Attempts()[0].Body))
	})
}

func TestServer_SendsRawAsItIs(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Raw("HTTP/1.1 299 Odd\r\nContent-Length: 4\r\n\r\nfine"))
		response, err := server.Client().Get(server.URL)
		if kind.http2 {
			assert.Error(t, err, "it is no frame")
			return
		}
		code, content := read(t, response, err)
		assert.Equal(t, 299, code)
		assert.Equal(t, "fine", content)
	})
}

func TestServer_PlaysDelays(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HTTP1 on a pipe", "HTTP2 on a pipe"} {
		for _, fault := range []steadyhttptest.Fault{steadyhttptest.Refused, steadyhttptest.ResetUnread, steadyhttptest.Reset} {
			serverKinds[name].run(t, func(t *testing.T) {
				server := serverKinds[name].serve(t, steadyhttptest.Delay(time.Minute, fault), steadyhttptest.Delay(time.Hour, steadyhttptest.Status(200)))
				start := time.Now()
				_, err := server.Client().Get(server.URL)
				assert.Error(t, err)
				assert.Equal(t, time.Minute, time.Since(start), "%v", fault)
				exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodGet, server.URL, ""))
				assert.Equal(t, time.Minute+time.Hour, time.Since(start))
			})
		}
	}
}

func TestServer_DelayEndsWithTheClient(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Delay(time.Hour, steadyhttptest.Status(200)))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := server.Client().Do(request(t, ctx, http.MethodGet, server.URL, ""))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestServer_PlayBringsItBack(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t)
		exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodGet, server.URL, ""))
		server.Play(steadyhttptest.Refused)
		for range 3 {
			_, err := server.Client().Get(server.URL)
			assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
		server.Play(steadyhttptest.Status(200))
		exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodGet, server.URL, ""))
		server.AssertAttempts(t, 5)
	})
}

func TestServer_RecordsNoRequestThatWasNotRead(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.ResetUnread)
		_, err := server.Client().Transport.RoundTrip(request(t, t.Context(), http.MethodPost, server.URL, "payload"))
		require.Error(t, err)
		attempts := server.Attempts()
		require.Len(t, attempts, 1)
		assert.NotZero(t, attempts[0].Time)
		attempts[0].Time = time.Time{}
		assert.Equal(t, steadyhttptest.Attempt{Step: steadyhttptest.ResetUnread}, attempts[0])
	})
}

func TestServer_ConnectionFaultResetsAReusedConnection(t *testing.T) {
	t.Parallel()
	for _, fault := range []steadyhttptest.Fault{steadyhttptest.Refused, steadyhttptest.BadCertificate, steadyhttptest.ResetUnread} {
		synctest.Test(t, func(t *testing.T) {
			server := serverKinds["HTTP1 on a pipe"].serve(t)
			base := &http.Transport{DialContext: server.DialContext}
			defer base.CloseIdleConnections()
			exchange(t, base, request(t, t.Context(), http.MethodGet, server.URL, ""))
			server.Play(fault)
			_, err := base.RoundTrip(request(t, t.Context(), http.MethodPost, server.URL, ""))
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			assert.Equal(t, "POST", server.Attempts()[1].Method)
		})
	}
}

func TestServer_ClientSendsEveryHostToIt(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t)
		scheme, _, _ := strings.Cut(server.URL, ":")
		for _, host := range []string{"api.example.org", "api.example.org:8443", "localhost"} {
			response, err := server.Client().Get(scheme + "://" + host + "/things")
			read(t, response, err)
		}
		assert.Equal(t, scheme+"://api.example.org:8443/things", server.Attempts()[1].URL)
	})
}

func TestServer_OtherClientsCanTrustIt(t *testing.T) {
	t.Parallel()
	server := serverKinds["HTTP2 on loopback"].serve(t)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}} // speaks HTTP/1, and dials by itself
	defer base.CloseIdleConnections()
	response, err := base.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	require.NoError(t, err)
	assert.Equal(t, 1, response.ProtoMajor)
	read(t, response, err)
	assert.Nil(t, serverKinds["HTTP1 on loopback"].serve(t).Certificate())
}

func TestServer_SpeaksHTTP2ByPriorKnowledge(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*testing.T, func(*testing.T)){"HTTP1 on loopback": real, "HTTP1 on a pipe": inHTTP2Bubble} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T) { assertSpeaksHTTP2ByPriorKnowledge(t, serverKinds[name]) })
		})
	}
}

func assertSpeaksHTTP2ByPriorKnowledge(t *testing.T, kind serverKind) {
	t.Helper()
	server := kind.serve(t, steadyhttptest.Status(200), steadyhttptest.GoAway)
	base := server.Client().Transport.(*http.Transport)
	base.Protocols = &http.Protocols{}
	base.Protocols.SetUnencryptedHTTP2(true)
	response, err := base.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	require.NoError(t, err)
	assert.Equal(t, 2, response.ProtoMajor)
	read(t, response, err)
	_, err = base.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	assert.ErrorContains(t, err, "GOAWAY")
}

func TestServer_RefusedStreamLeavesOtherStreamsAlone(t *testing.T) {
	t.Parallel()
	inHTTP2Bubble(t, func(t *testing.T) {
		server := serverKinds["HTTP2 on a pipe"].serve(t, steadyhttptest.Delay(time.Second, steadyhttptest.Status(200)),
			steadyhttptest.RefusedStream, steadyhttptest.RefusedStream, steadyhttptest.Status(200))
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodPut, server.URL, "payload"))
			})
		}
		callers.Wait()
		server.AssertAttempts(t, 6)
	})
}

func TestServer_EndFailsTheTestAndClosesTheConnection(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		test := &recordingTB{}
		server := kind.serve(t, steadyhttptest.Status(500), steadyhttptest.End(test))
		exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodPost, server.URL, "payload"))
		assert.Empty(t, test.failures())
		_, err := server.Client().Transport.RoundTrip(request(t, t.Context(), http.MethodPost, server.URL, "payload"))
		assert.Contains(t, []error{io.EOF, io.ErrUnexpectedEOF}, err)
		assert.Len(t, test.failures(), 1)
	})
}

func TestServer_InvalidStepIsA500(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		for want, step := range map[string]steadyhttptest.Step{
			"steadyhttptest: invalid step: nil Step\n":                            nil,
			"steadyhttptest: invalid step: Status(99): want 200 to 999\n":         steadyhttptest.Status(99),
			"steadyhttptest: invalid step: Fault(0): want one of the constants\n": steadyhttptest.Fault(0),
		} {
			server := kind.serve(t, step)
			code, content := exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodGet, server.URL, ""))
			assert.Equal(t, 500, code)
			assert.Equal(t, want, content)
		}
	})
}

func TestServer_CloseEndsWhatHangsAndRefusesNewConnections(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		for _, step := range []steadyhttptest.Step{
			steadyhttptest.Hang, steadyhttptest.Delay(time.Hour, steadyhttptest.Status(200)),
			steadyhttptest.Delay(time.Hour, steadyhttptest.ResetUnread), steadyhttptest.Status(200).Stalled(),
		} {
			server := kind.start(step)
			done := make(chan error)
			go func() {
				response, err := server.Client().Get(server.URL)
				if err == nil {
					_, err = io.ReadAll(response.Body)
				}
				done <- err
			}()
			cancelOnArrival(server, 1, server.Close)
			assert.Error(t, <-done)
			fresh := server.Client().Transport.(*http.Transport).Clone() // HTTP/2 may not know yet that its connection is gone
			_, err := (&http.Client{Transport: fresh}).Get(server.URL)
			assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			server.Close() // once more
		}
	})
}

func TestServer_HandlesConcurrentRequests(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		server := kind.serve(t, steadyhttptest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			content, _ := io.ReadAll(r.Body) // all of it before the response begins: HTTP/1 has no full duplex
			_, _ = w.Write(content)
		})))
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for n := range 4 {
					content := strings.Repeat(fmt.Sprint(caller, n, " "), 10_000)
					_, got := exchange(t, server.Client().Transport, request(t, t.Context(), http.MethodPut, server.URL, content))
					assert.True(t, content == got, "sent %d bytes, got %d back", len(content), len(got))
				}
			})
		}
		callers.Wait()
		server.AssertAttempts(t, 8*4)
	})
}

func TestServer_PipeServerIsReachedOnlyByItsDialer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := serverKinds["HTTP1 on a pipe"].serve(t)
		assert.Equal(t, "http://example.com", server.URL)
		ctx, cancel := context.WithCancel(t.Context())
		conn, err := server.DialContext(ctx, "tcp", "anywhere:1")
		require.NoError(t, err)
		assert.Equal(t, "pipe", conn.RemoteAddr().String())
		assert.Equal(t, "tcp", conn.LocalAddr().Network())
		require.NoError(t, conn.Close())
		cancel()
		server.Close()
		_, err = server.DialContext(context.Background(), "tcp", "anywhere:1")
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestServer_LeavesNoGoroutineBehind(t *testing.T) { // not parallel: NumGoroutine counts all
	before := runtime.NumGoroutine()
	for _, start := range []func(...steadyhttptest.Step) *steadyhttptest.Server{steadyhttptest.NewServer, steadyhttptest.NewTLSServer, steadyhttptest.NewPipeServer, steadyhttptest.NewTLSPipeServer} {
		for _, fault := range steadyhttptest.Faults() {
			server := start(steadyhttptest.Status(200), fault)
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				response, err := server.Client().Do(request(t, ctx, http.MethodGet, server.URL, ""))
				if err == nil {
					_ = response.Body.Close()
				}
				cancel()
			}
			server.Close()
		}
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > before && wait < 2*time.Second; wait *= 2 {
		time.Sleep(wait) // until the kernel has told the clients; assert.Eventually would start goroutines
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestServer_OnLoopbackNeedsNoDialer(t *testing.T) {
	t.Parallel()
	server := serverKinds["HTTP1 on loopback"].serve(t, steadyhttptest.Status(200), steadyhttptest.Reset)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	exchange(t, base, request(t, t.Context(), http.MethodGet, server.URL, ""))
	_, err := base.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	parsed, err := url.Parse(server.URL)
	require.NoError(t, err)
	assert.True(t, net.ParseIP(parsed.Hostname()).IsLoopback())
}

// If the server closed first, what the client still writes would cause a reset, and the client could lose the response.
func TestServer_LetsTheClientCloseFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := serverKinds["HTTP1 on a pipe"].serve(t, steadyhttptest.Raw("last words"))
		conn, err := server.DialContext(t.Context(), "tcp", "shop:80")
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
		require.NoError(t, err)
		heard, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Equal(t, "last words", string(heard))
		synctest.Wait()
		_, err = io.WriteString(conn, "more")
		assert.NoError(t, err)
		require.NoError(t, conn.Close())
	})
}

func TestServer_RefusedConnectionIsTheOperatingSystems(t *testing.T) {
	t.Parallel()
	server := serverKinds["HTTP1 on loopback"].serve(t, steadyhttptest.Refused)
	_, err := server.Client().Transport.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.IsType(t, &net.TCPAddr{}, errorAs[*net.OpError](err).Addr)
}

func TestServer_DialFaultResetsAClientWithADialerOfItsOwn(t *testing.T) {
	t.Parallel()
	server := serverKinds["HTTP1 on loopback"].serve(t, steadyhttptest.Refused)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	_, err := base.RoundTrip(request(t, t.Context(), http.MethodPost, server.URL, ""))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Equal(t, "POST", server.Attempts()[0].Method)
}
