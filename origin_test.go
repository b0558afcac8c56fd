package steadyhttp_test

import (
	"fmt"
	"io"
	"net/http"
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

	"github.com/steadyhttp/steadyhttp"
)

func TestOrigin_IsSchemeHostAndPort(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://api.example.com/a?b":           "https://api.example.com:443",
		"https://api.example.com:443/":          "https://api.example.com:443",
		"https://API.Example.COM":               "https://api.example.com:443",
		"http://api.example.com":                "http://api.example.com:80",
		"http://api.example.com:80":             "http://api.example.com:80",
		"http://api.example.com:443":            "http://api.example.com:443",
		"https://api.example.com:8443":          "https://api.example.com:8443",
		"https://api.example.com:":              "https://api.example.com:443",
		"https://[2001:db8::1]/":                "https://[2001:db8::1]:443",
		"https://[2001:db8::1]:444/":            "https://[2001:db8::1]:444",
		"https://user:secret@api.example.com/?": "https://api.example.com:443",
		"custom://thing":                        "custom://thing",
	} {
		transport := newTransport(t, newScript(status(200)))
		r := newGet(t)
		var err error
		r.URL, err = url.Parse(address)
		require.NoError(t, err)
		_, err = transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, want, onlyBreaker(t, transport).Origin, address)
	}
}

func TestOrigin_KeyDecidesWhatSharesABreaker(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginKey(func(r *http.Request) string {
		return r.Header.Get("Tenant")
	}))
	for _, tenant := range []string{"a", "b", "a", ""} {
		r := newGet(t)
		r.Header.Set("Tenant", tenant)
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
	}
	assert.Equal(t, []steadyhttp.BreakerStatus{
		{Origin: "a", Requests: 2}, {Origin: "b", Requests: 1}, {Origin: targetOrigin, Requests: 1},
	}, transport.Breakers())
}

func TestOrigin_KeyThatPanicsLeaksNoBody(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginKey(func(*http.Request) string { panic("key") }))
	source := newTrackedBody("payload")
	r := newGet(t)
	r.Body = source
	assert.PanicsWithValue(t, "key", func() { _, _ = transport.RoundTrip(r) })
	assert.Equal(t, 1, source.closes())
}

func TestRegistry_IsBoundedAndAnOpenBreakerSurvives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, failHosts("down.example.com"), singleAttemptOptions(steadyhttp.WithBreakerOpenFor(time.Hour))...)
		for range 10 {
			sendToHost(t, transport, "down.example.com")
		}
		for i := range 20_000 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		assert.Len(t, transport.Breakers(), 1024)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerStates(transport)["https://down.example.com:443"])
	})
}

// Not parallel: the heap is everybody's.
func TestRegistry_OriginTakesAKibibyteAndMemoryIsFlatPastTheLimit(t *testing.T) {
	transport := newTransport(t, stepFunc(failSomeHosts), singleAttemptOptions()...)
	sendToHost(t, transport, "warm.example.com")
	visits := 0
	grown := func(hosts int) int64 {
		before := heapSize()
		for range hosts {
			visits++
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", visits))
		}
		return heapSize() - before
	}
	assert.LessOrEqual(t, grown(1000)/1000, int64(1024), "bytes an origin")
	grown(2000)
	assert.Less(t, grown(10_000), int64(1<<20), "bytes for ten thousand origins more")
	runtime.KeepAlive(transport)
}

// failSomeHosts fails for every tenth host.
func failSomeHosts(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(strings.SplitN(r.URL.Host, ".", 2)[0], "1") {
		return status(503).RoundTrip(r)
	}
	return status(200).RoundTrip(r)
}

func TestRegistry_ForgetsUsedOriginsLast(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(3))
	for i := range 100 {
		sendToHost(t, transport, "often.example.com")
		sendToHost(t, transport, fmt.Sprintf("once-%d.example.com", i))
	}
	assert.Contains(t, breakerStates(transport), "https://often.example.com:443")
	assert.Len(t, transport.Breakers(), 3)
}

func TestRegistry_OriginWithFailuresSurvives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, failHosts("flaky.example.com"), singleAttemptOptions(steadyhttp.WithOriginLimit(2))...)
		sendToHost(t, transport, "flaky.example.com")
		for i := range 10 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		assert.Contains(t, breakerStates(transport), "https://flaky.example.com:443")

		time.Sleep(6 * time.Second) // the failure leaves the window
		sendToHost(t, transport, "host-a.example.com")
		sendToHost(t, transport, "host-b.example.com")
		assert.NotContains(t, breakerStates(transport), "https://flaky.example.com:443")
	})
}

func TestRegistry_OriginWithASpentBudgetIsKeptUntilItIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, noBreakerOptions(steadyhttp.WithOriginLimit(1))...)
		require.Equal(t, 5, countRetries(t, transport, server))
		server.Play(status(200))
		sendToHost(t, transport, "other.example.com")
		server.Play(status(503))
		assert.Equal(t, 0, countRetries(t, transport, server), "a new origin would have a full budget")
	})
}

func TestRegistry_OriginWithARunningCallIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "slow.example.com" {
				return delay(time.Second, status(200)).RoundTrip(r)
			}
			return status(200).RoundTrip(r)
		}
		transport := newTransport(t, stepFunc(slow), steadyhttp.WithOriginLimit(2))
		var group sync.WaitGroup
		group.Go(func() { sendToHost(t, transport, "slow.example.com") })
		synctest.Wait()
		for i := range 10 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		group.Wait()
		assert.Contains(t, breakerStates(transport), "https://slow.example.com:443")
		for i := range 10 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		assert.NotContains(t, breakerStates(transport), "https://slow.example.com:443", "but afterwards it is")
	})
}

func TestRegistry_OriginsBeyondItShareABudgetAndHaveNoBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, status(503), singleAttemptOptions(steadyhttp.WithOriginLimit(1), steadyhttp.WithBreakerOpenFor(time.Hour))...)
		for range 10 {
			sendToHost(t, transport, "down.example.com")
		}
		require.Equal(t, steadyhttp.BreakerOpen, breakerStates(transport)["https://down.example.com:443"])

		sent := 0
		transport = newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			return status(503).RoundTrip(r)
		}), steadyhttp.WithOriginLimit(1), steadyhttp.WithBreakerFailureRate(0, 1), steadyhttp.WithBreakerConsecutiveFailures(1, 0),
			steadyhttp.WithBreakerOpenFor(time.Hour), steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
		sendToHost(t, transport, "down.example.com")
		require.Equal(t, 1, sent)
		for i := range 100 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		assert.Equal(t, 1+100+5, sent, "every call is let through, and the burst is spent once")
		assert.Len(t, transport.Breakers(), 1)
	})
}

func TestRegistry_FullOfHealthyOriginsMakesRoomAtOnce(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200))
	for i := range 1024 {
		sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
	}
	sendToHost(t, transport, "new.example.com")
	assert.Contains(t, breakerStates(transport), "https://new.example.com:443")
}

func TestRegistry_OriginIsForgottenOnceItsBudgetIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithOriginLimit(1), steadyhttp.WithMaxAttempts(1000),
			steadyhttp.WithBackoff(1, 1), steadyhttp.WithBreakerFailureRate(0, 1), steadyhttp.WithBreakerConsecutiveFailures(1000, 0))
		sendGets(t, transport, 1)
		server.Play(status(200))
		time.Sleep(49 * time.Second)
		sendToHost(t, transport, "other.example.com")
		require.Contains(t, breakerStates(transport), targetOrigin)
		time.Sleep(time.Second)
		sendToHost(t, transport, "other.example.com")
		assert.NotContains(t, breakerStates(transport), targetOrigin)
	})
}

func TestRegistry_OftenUsedOriginIsNeverForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(3))
		for i := range 100 {
			sendToHost(t, transport, "often.example.com")
			sendToHost(t, transport, fmt.Sprintf("once-%d.example.com", i))
		}
		for _, b := range transport.Breakers() {
			if b.Origin == "https://often.example.com:443" {
				assert.GreaterOrEqual(t, b.Requests, uint32(95), "forgotten at most when the registry first fills")
				return
			}
		}
		t.Error("forgotten")
	})
}

func TestRegistry_FirstCallsAtOnceShareOneBreaker(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(1<<20))
	const hosts, callers = 500, 8
	for i := range hosts {
		start := make(chan struct{})
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				<-start
				sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
			})
		}
		close(start)
		group.Wait()
	}
	assert.Len(t, transport.Breakers(), hosts)
}

func TestRegistry_FindsTheOneOriginToForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "clean.example.com" || r.URL.Host == "new.example.com" {
				return status(200).RoundTrip(r)
			}
			return status(503).RoundTrip(r)
		}), singleAttemptOptions(steadyhttp.WithOriginLimit(100), steadyhttp.WithBreakerConsecutiveFailures(1, 0))...)
		for i := range 99 {
			sendToHost(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		sendToHost(t, transport, "clean.example.com")
		sendToHost(t, transport, "new.example.com")
		assert.Contains(t, breakerStates(transport), "https://new.example.com:443")
		assert.NotContains(t, breakerStates(transport), "https://clean.example.com:443")
	})
}

func TestOrigin_SchemeMayBeInAnyCase(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	r := newGet(t)
	r.URL.Scheme = "HTTPS" // url.Parse would not leave it so
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, targetOrigin, onlyBreaker(t, transport).Origin)
}

// With WithBodyTimeout and WithResume a body may break long after its call has ended, and then it counts.
func TestRegistry_OriginWithAnOpenBodyIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   io.ReadCloser
		reads  int64
		states map[string]steadyhttp.BreakerState // once it was read and closed, and others called
	}{
		"broken": {newBrokenBody("0123"), 10, map[string]steadyhttp.BreakerState{"https://first.example.com:443": steadyhttp.BreakerOpen}},
		"whole":  {newScriptedBody(bodyPart{content: fileContent}), 10, map[string]steadyhttp.BreakerState{"https://other.example.com:443": steadyhttp.BreakerClosed}},
		"closed": {newScriptedBody(bodyPart{content: "0123"}, bodyPart{wait: time.Hour}), 4, map[string]steadyhttp.BreakerState{"https://other.example.com:443": steadyhttp.BreakerClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first := fileReply{code: 200, body: c.body, length: 10}
				transport := newTransport(t, newScript(stepFunc(first.RoundTrip), status(200)),
					steadyhttp.WithBodyTimeout(time.Minute), steadyhttp.WithOriginLimit(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
				r := newGet(t)
				r.URL.Host = "first.example.com"
				response, err := transport.RoundTrip(r)
				require.NoError(t, err)
				for range 3 {
					sendToHost(t, transport, "other.example.com")
				}
				assert.Contains(t, breakerStates(transport), "https://first.example.com:443")
				_, _ = io.CopyN(io.Discard, response.Body, c.reads)
				_ = response.Body.Close()
				for range 3 {
					sendToHost(t, transport, "other.example.com")
				}
				assert.Equal(t, c.states, breakerStates(transport))
			})
		})
	}
}

func TestRegistry_ManyCallersMeetNewOriginsAtOnce(t *testing.T) {
	t.Parallel()
	const callers, hosts = 8, 500
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(callers*hosts))
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := range hosts {
				sendToHost(t, transport, fmt.Sprintf("host-%d-%d.example.com", caller, i))
			}
		})
	}
	group.Wait()
	assert.Len(t, transport.Breakers(), callers*hosts)
}

func TestRegistry_HostsThatDiedLongAgoLeaveRoomForNewOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, fail(dialError(syscall.ECONNREFUSED)), steadyhttp.WithOriginLimit(16))
		for i := range 16 { // one call each, with the defaults, and none ever again
			sendToHost(t, transport, fmt.Sprintf("dead-%d.example.com", i))
		}
		time.Sleep(24 * time.Hour)
		for range 20 {
			sendToHost(t, transport, "down.example.com")
			time.Sleep(time.Second)
		}
		assert.Equal(t, steadyhttp.BreakerOpen, breakerStates(transport)["https://down.example.com:443"])
	})
}

func TestRegistry_OpenBreakerFitsIntoAKibibyte(t *testing.T) { // not parallel: the heap is everybody's
	const origins = 20_000
	transport := newTransport(t, status(503), singleAttemptOptions(steadyhttp.WithOriginLimit(origins), steadyhttp.WithBreakerConsecutiveFailures(1, 0))...)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range origins {
		sendToHost(t, transport, fmt.Sprintf("%s-%d.example.com", strings.Repeat("x", 48), i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.LessOrEqual(t, (after.HeapAlloc-before.HeapAlloc)/origins, uint64(1<<10), "bytes an origin")
	runtime.KeepAlive(transport)
}
