package steadydebug_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

var update = flag.Bool("update", false, "write the golden files")

// troubled is a transport with an origin in each kind of trouble, in a bubble.
func troubled(t *testing.T) *steadyhttp.Transport {
	t.Helper()
	transport := newTransport(t, answering)
	for _, name := range []string{"calm", "isolated", "tripped", "reset"} {
		call(t, transport, "https://"+name+".example.com/")
	}
	time.Sleep(time.Second)
	transport.Breaker("https://isolated.example.com").Isolate("maintenance <until> noon")
	transport.Breaker("https://tripped.example.com").Trip(10*time.Minute, "deploy")
	transport.Breaker("https://reset.example.com").Isolate("")
	time.Sleep(time.Second)
	transport.Breaker("https://reset.example.com").Reset()
	time.Sleep(time.Second)
	return transport
}

func TestHandler_JSONIsAsDocumented(t *testing.T) {
	t.Parallel()
	assertGolden(t, "application/json", "testdata/page.json")
}

func TestHandler_TextIsForTerminals(t *testing.T) {
	t.Parallel()
	assertGolden(t, "text/plain", "testdata/page.txt")
}

func assertGolden(t *testing.T, accept, file string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		without := newTransport(t, answering, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget())
		call(t, without, "http://bare.example.com:8080/")
		transport := troubled(t)
		got := get(steadydebug.Handler(transport, nil, without), accept)
		require.Equal(t, http.StatusOK, got.Code)
		page := strings.NewReplacer(transport.String(), "POLICY 0", without.String(), "POLICY 2").Replace(got.Body.String())
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(want), page)
	})
}

func TestHandler_HTMLSaysStateReasonAndTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		page := get(steadydebug.Handler(troubled(t)), "text/html").Body.String()
		assertContainsAll(t, page,
			`<html lang="en">`, `<title>4 origins: 1 isolated, 1 open · steadyhttp</title>`,
			`<strong class="state isolated">isolated</strong>`, "maintenance &lt;until&gt; noon", "no probe until it is reset",
			`<strong class="state open">open</strong>`, "deploy", "next probe in 9m58s",
			`<strong class="state closed">closed</strong>`, "since the first call", "since 2000-01-01 00:00:02 UTC, 1s ago",
			"open → closed: reset", "1 request, 0 failures", "<code>MaxAttempts=4</code> (default)", "Base=steadydebug_test.baseFunc")
		assert.Less(t, strings.Index(page, "isolated.example.com"), strings.Index(page, "tripped.example.com"), "the worst comes first")
		assert.Less(t, strings.Index(page, "tripped.example.com"), strings.Index(page, "calm.example.com"))
		assert.NotContains(t, page, "<form", "there are no actions unless asked for")
	})
}

func TestHandler_SaysWhatAnOutageIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, failing, steadyhttp.WithShadowBreaker(), steadyhttp.WithBreakerConsecutiveFailures(3, 0))
		for range 2 {
			call(t, transport, "https://api.example.com/")
		}
		text := get(steadydebug.Handler(transport), "text/plain").Body.String()
		assertContainsAll(t, text, "1 origin: 1 open", "breaker  open; failures; since ", "next probe in ", "shadow: rejects nothing", "change   ", "closed → open: failures")
		time.Sleep(time.Minute)
		assert.Contains(t, get(steadydebug.Handler(transport), "text/plain").Body.String(), "the next call is a probe")
	})
}

func TestHandler_SaysThatAProbeIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		probing := make(chan struct{})
		transport := newTransport(t, func(r *http.Request) (*http.Response, error) {
			<-probing
			return answering(r)
		})
		transport.Breaker(origin).Trip(time.Minute, "deploy")
		time.Sleep(time.Hour)
		go call(t, transport, "https://api.example.com/")
		synctest.Wait()
		assertContainsAll(t, get(steadydebug.Handler(transport), "").Body.String(), "1 origin: 1 half-open", "a probe is under way", "1 call under way")
		assert.Contains(t, get(steadydebug.Handler(transport), "text/html").Body.String(), `<strong class="state half-open">half-open</strong>`)
		close(probing)
		synctest.Wait()
		assert.Contains(t, get(steadydebug.Handler(transport), "").Body.String(), "1 origin: nothing unusual")
	})
}

func TestHandler_SaysThatAnOriginIsPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, func(r *http.Request) (*http.Response, error) {
			response, err := answering(r)
			response.StatusCode = http.StatusTooManyRequests
			response.Header.Set("Retry-After", "20")
			return response, err
		}, steadyhttp.WithOriginPause(10), steadyhttp.WithMaxAttempts(1))
		for range 4 {
			call(t, transport, "https://api.example.com/")
			time.Sleep(200 * time.Millisecond)
			if strings.Contains(get(steadydebug.Handler(transport), "").Body.String(), "1 paused") {
				break
			}
		}
		go call(t, transport, "https://api.example.com/")
		synctest.Wait()
		assertContainsAll(t, get(steadydebug.Handler(transport), "text/plain").Body.String(), "1 origin: 1 paused", "pause    paused until ", ", in 2", "1 waiting")
		assertContainsAll(t, get(steadydebug.Handler(transport), "text/html").Body.String(), `<strong class="state paused">pause</strong>`, "1 waiting")
		time.Sleep(time.Minute)
	})
}

func TestHandler_SaysThatRetriesAreSuspended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, failing)
		for !strings.Contains(get(steadydebug.Handler(transport), "").Body.String(), "retries  suspended; budget for ") {
			require.Less(t, time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), time.Minute)
			call(t, transport, "https://api.example.com/")
		}
		assert.Contains(t, get(steadydebug.Handler(transport), "text/html").Body.String(), `<strong class="state suspended">suspended</strong>`)
	})
}

func TestHandler_NilAndNoTransportsAreSaidAndDoNotPanic(t *testing.T) {
	t.Parallel()
	const none, zero = "o transports were given", "no policy: a Transport is made by NewTransport"
	said := map[string][2]string{
		"none": {none, none}, "nil slice": {none, none}, "nil transport": {"transport 0: nil", "It is nil."}, "zero transport": {zero, zero},
	}
	for name, handler := range map[string]http.Handler{
		"none":           steadydebug.HandlerFor([]*steadyhttp.Transport{}, steadydebug.Writable()),
		"nil slice":      steadydebug.HandlerFor(nil, steadydebug.Writable(), nil),
		"nil transport":  steadydebug.HandlerFor([]*steadyhttp.Transport{nil}, steadydebug.Writable()),
		"zero transport": steadydebug.HandlerFor([]*steadyhttp.Transport{{}}, steadydebug.Writable()),
	} {
		assert.Contains(t, get(handler, "text/plain").Body.String(), said[name][0], name)
		assert.Contains(t, get(handler, "text/html").Body.String(), said[name][1], name)
		var page struct{ Transports []any }
		require.NoError(t, json.Unmarshal(get(handler, "application/json").Body.Bytes(), &page))
		assert.NotNil(t, page.Transports, "an empty list is one, and no null")
		refused := serve(handler, newPost(formOf("action", "reset", "transport", "0", "origin", origin)))
		assert.Equal(t, http.StatusBadRequest, refused.Code, name)
	}
}

func TestHandler_HeadersForbidKeepingAndForeignCode(t *testing.T) {
	t.Parallel()
	handler := steadydebug.Handler(newTransport(t, answering))
	for accept, contentType := range map[string]string{"text/html": "text/html; charset=utf-8", "application/json": "application/json", "": "text/plain; charset=utf-8"} {
		header := get(handler, accept).Header()
		assert.Equal(t, contentType, header.Get("Content-Type"))
		assert.Equal(t, "no-store", header.Get("Cache-Control"))
		assert.Equal(t, "Accept", header.Get("Vary"))
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		policy := header.Get("Content-Security-Policy")
		assertContainsAll(t, policy, "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'sha256-", "style-src 'sha256-")
		assert.NotContains(t, policy, "unsafe")
	}
}

func TestHandler_HeadIsGetWithoutTheBody(t *testing.T) {
	t.Parallel()
	handler := steadydebug.Handler(newTransport(t, answering))
	got := serve(handler, httptest.NewRequest(http.MethodHead, "/?format=json", nil))
	want := serve(handler, httptest.NewRequest(http.MethodGet, "/?format=json", nil))
	assert.Equal(t, http.StatusOK, got.Code)
	assert.Empty(t, got.Body.String())
	assert.Equal(t, fmt.Sprint(len(want.Body.String())), want.Header().Get("Content-Length"))
	assert.Equal(t, want.Header().Get("Content-Type"), got.Header().Get("Content-Type"))
}

func TestHandler_OtherMethodsAreNotAllowed(t *testing.T) {
	t.Parallel()
	transports := []*steadyhttp.Transport{newTransport(t, answering)}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "WEIRD"} {
		got := serve(steadydebug.Handler(transports...), httptest.NewRequest(method, "/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, got.Code, method)
		assert.Equal(t, "GET, HEAD", got.Header().Get("Allow"))
		assert.Contains(t, got.Body.String(), method)
		if method == http.MethodPost {
			continue
		}
		got = serve(steadydebug.HandlerFor(transports, steadydebug.Writable()), httptest.NewRequest(method, "/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, got.Code, method)
		assert.Equal(t, "GET, HEAD, POST", got.Header().Get("Allow"))
	}
}

func TestHandler_UnknownFormatIsA400(t *testing.T) {
	t.Parallel()
	got := serve(steadydebug.Handler(), httptest.NewRequest(http.MethodGet, "/?format=x%1b[31m%22", nil))
	assert.Equal(t, http.StatusBadRequest, got.Code)
	assert.Contains(t, got.Body.String(), `there is no format "x\x1b[31m\""`)
	assert.Contains(t, get(steadydebug.Handler(), "image/png").Body.String(), "no transports were given")
}

func TestHandler_ShowsAThousandOrigins(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, answering)
	for i := range 1024 {
		call(t, transport, fmt.Sprintf("https://host-%d.example.com/", i))
	}
	transport.Breaker("https://host-700.example.com").Isolate("maintenance")
	handler := steadydebug.HandlerFor([]*steadyhttp.Transport{transport}, steadydebug.Writable())
	page := get(handler, "text/html").Body.String()
	assert.Contains(t, page, "1024 origins: 1 isolated")
	assert.Equal(t, 1024, strings.Count(page, "<form"))
	assert.Less(t, len(page), 3<<20)
	t.Logf("%d bytes", len(page))
	var json struct {
		Transports []struct{ Origins []struct{ Origin string } }
	}
	require.NoError(t, jsonOf(handler, &json))
	assert.Len(t, json.Transports[0].Origins, 1024)
}

func jsonOf(handler http.Handler, into any) error {
	return json.Unmarshal(get(handler, "application/json").Body.Bytes(), into)
}

func TestHandler_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, answering)
	call(t, transport, "https://api.example.com/")
	handler := steadydebug.HandlerFor([]*steadyhttp.Transport{transport, transport}, steadydebug.Writable())
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for range 5 {
				call(t, transport, fmt.Sprintf("https://host-%d.example.com/", i))
				action := []string{"trip", "isolate", "reset"}[i%3]
				posted := serve(handler, newPost(formOf("action", action, "transport", "1", "origin", origin, "duration", "1s")))
				assert.Equal(t, http.StatusSeeOther, posted.Code)
				for _, accept := range []string{"text/html", "application/json", "text/plain"} {
					assert.Equal(t, http.StatusOK, get(handler, accept).Code)
				}
			}
		})
	}
	running.Wait()
}

// The options and transports are the handler's own.
func TestHandler_KeepsNoSliceOfItsCaller(t *testing.T) {
	t.Parallel()
	transports := []*steadyhttp.Transport{newTransport(t, answering)}
	handler := steadydebug.Handler(transports...)
	transports[0] = nil
	assert.NotContains(t, get(handler, "").Body.String(), "nil")
}
