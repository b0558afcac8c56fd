package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

var screenshotFile = flag.String("screenshot", "", "where to write the picture of the debug page")

// A debugPage is served, and all requests for it are noted.
type debugPage struct {
	*httptest.Server
	transport *steadyhttp.Transport

	mu       sync.Mutex
	requests []string
}

func startDebugPage(t *testing.T, options ...steadydebug.Option) *debugPage {
	t.Helper()
	d := &debugPage{transport: newTroubledTransport(t)}
	page := steadydebug.HandlerFor([]*steadyhttp.Transport{d.transport}, options...)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.requests = append(d.requests, r.Method+" "+r.URL.Path)
		d.mu.Unlock()
		page.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *debugPage) address() string { return d.URL + "/debug/steadyhttp" }

func (d *debugPage) received() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.requests...)
}

// newTroubledTransport has an origin in each of some states. No network is needed for that.
func newTroubledTransport(t *testing.T) *steadyhttp.Transport {
	t.Helper()
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Host, "payments") {
			return nil, errors.New("connection refused")
		}
		response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
		if strings.HasPrefix(r.URL.Host, "quota") {
			response.StatusCode = http.StatusTooManyRequests
			response.Header.Set("Retry-After", "40")
		}
		return response, nil
	})
	transport, err := steadyhttp.NewTransport(base, steadyhttp.WithBreakerConsecutiveFailures(3, 0), steadyhttp.WithMaxAttempts(3),
		steadyhttp.WithBackoff(time.Millisecond, time.Millisecond), steadyhttp.WithAttemptTimeout(2*time.Second), steadyhttp.WithOriginPause(10),
		steadyhttp.WithMaxRetryAfter(time.Minute))
	require.NoError(t, err)
	for range 3 {
		callAll(t, transport, "quota") // who is told to wait three times within some time is paused
		time.Sleep(200 * time.Millisecond)
	}
	for range 12 {
		callAll(t, transport, "api", "api", "api", "mail")
	}
	callAll(t, transport, "search", "payments")
	transport.Breaker("https://search.example.com").Isolate("maintenance until noon")
	transport.Breaker("https://payments.example.com").Trip(5*time.Minute, "INC-4711")
	return transport
}

func callAll(t *testing.T, transport *steadyhttp.Transport, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // no wait that the server asks for is short enough
	defer cancel()
	for _, name := range names {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+".example.com/", nil)
		require.NoError(t, err)
		if response, err := transport.RoundTrip(r); err == nil {
			require.NoError(t, response.Body.Close())
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// watchViolations lets pages tell what their Content-Security-Policy, or an error, stopped.
func watchViolations(t *testing.T, b *browser) {
	t.Helper()
	b.do(t, "Page.addScriptToEvaluateOnNewDocument", values{"source": `
		window.violations = [];
		addEventListener("securitypolicyviolation", e => violations.push(e.violatedDirective + " " + e.blockedURI));
		addEventListener("error", e => violations.push(e.message));
		addEventListener("unhandledrejection", e => violations.push(String(e.reason)));`}, nil)
}

func assertNoViolation(t *testing.T, b *browser) {
	t.Helper()
	assert.Empty(t, evaluate[[]string](t, b, "violations"))
}

// What is measured in the page: the contrast of each text with what is behind it (WCAG 2.2, 1.4.3).
const lowContrasts = `(() => {
	const luminance = color => {
		const [r, g, b] = color.match(/[\d.]+/g).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = element => {
		for (; element; element = element.parentElement) {
			const color = getComputedStyle(element).backgroundColor;
			if (!/^rgba\(.*, 0\)$/.test(color)) return color;
		}
	};
	const low = [];
	for (const element of document.body.querySelectorAll("*")) {
		const text = [...element.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data.trim()).join("");
		if (!text || !element.checkVisibility() || ["SCRIPT", "INPUT"].includes(element.tagName)) continue;
		const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance);
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) low.push(text + ": " + contrast.toFixed(2));
	}
	return low;
})()`

const openAll = `document.querySelectorAll("details").forEach(d => d.open = true)`

func TestDebugPage_IsReadableInLightAndDarkAndOnAPhone(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	watchViolations(t, b)
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(t, scheme)
		for _, width := range []int{1280, 800, 360, 320} {
			b.resize(t, width, 800)
			b.open(t, page.address())
			evaluate[any](t, b, openAll)
			assert.LessOrEqual(t, evaluate[int](t, b, "document.documentElement.scrollWidth"), width, "it scrolls sideways")
			assert.Empty(t, evaluate[[]string](t, b, lowContrasts), scheme)
			backgrounds[evaluate[string](t, b, "getComputedStyle(document.body).backgroundColor")] = true
			text := evaluate[string](t, b, "document.body.innerText")
			for _, part := range []string{"1 isolated, 1 open", "maintenance until noon", "INC-4711", "https://api.example.com:443"} {
				assert.Contains(t, text, part)
			}
		}
	}
	assert.Len(t, backgrounds, 2, "light and dark differ")
	assertNoViolation(t, b)
	for _, request := range page.received() {
		assert.Equal(t, "GET /debug/steadyhttp", request, "the page needs nothing besides itself")
	}
}

// A screen reader must find a table with headers, however narrow the page is.
func TestDebugPage_IsATableForScreenReadersToo(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	for _, width := range []int{1280, 360} {
		b.resize(t, width, 800)
		b.open(t, page.address())
		evaluate[any](t, b, openAll)
		var tree struct {
			Nodes []struct{ Role, Name struct{ Value any } }
		}
		b.do(t, "Accessibility.getFullAXTree", nil, &tree)
		found := map[string]int{}
		for _, node := range tree.Nodes {
			found[fmt.Sprint(node.Role.Value)]++
			if node.Role.Value == "textbox" || node.Role.Value == "button" || node.Role.Value == "checkbox" {
				assert.NotEmpty(t, node.Name.Value, "a %v has no name", node.Role.Value)
			}
		}
		assert.Equal(t, 1, found["table"], "%v", found)
		assert.Equal(t, 6, found["columnheader"])
		assert.Equal(t, 5, found["rowheader"])
		assert.Equal(t, 25, found["cell"]+found["gridcell"])
	}
}

func TestDebugPage_RefreshesItselfAndKeepsWhatIsOpen(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	watchViolations(t, b)
	b.open(t, page.address())
	evaluate[any](t, b, openAll)
	const open = `document.querySelectorAll("details[open]").length`
	opened := evaluate[int](t, b, open)
	page.transport.Breaker("https://mail.example.com").Isolate("queue is full")
	b.waitFor(t, `document.body.innerText.includes("queue is full")`)
	assert.Positive(t, opened)
	assert.Equal(t, opened, evaluate[int](t, b, open))
	assert.Contains(t, evaluate[string](t, b, "document.title"), "2 isolated")

	evaluate[any](t, b, `document.getElementById("refresh").click()`)
	time.Sleep(time.Second) // what is under way ends
	before := len(page.received())
	time.Sleep(3 * time.Second)
	assert.Len(t, page.received(), before, "it can be stopped")
	evaluate[any](t, b, `document.getElementById("refresh").click()`)

	page.CloseClientConnections()
	page.Close()
	b.waitFor(t, `document.getElementById("stale").textContent.startsWith("Out of date")`)
	assertNoViolation(t, b)
}

func TestDebugPage_DoesNotRefreshWhileSomebodyTypes(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	b.open(t, page.address())
	evaluate[any](t, b, openAll)
	evaluate[any](t, b, `document.querySelector("input[name=reason]").focus()`)
	b.do(t, "Input.insertText", values{"text": "dep"}, nil)
	page.transport.Breaker("https://mail.example.com").Isolate("queue is full")
	before := len(page.received())
	time.Sleep(3 * time.Second)
	assert.Len(t, page.received(), before, "in a field that has the focus")
	evaluate[any](t, b, `document.activeElement.blur()`)
	time.Sleep(3 * time.Second)
	assert.Len(t, page.received(), before, "with a text that was typed")
	evaluate[any](t, b, `document.querySelector("form").reset()`)
	b.waitFor(t, `document.body.innerText.includes("queue is full")`)
}

func TestDebugPage_RefreshesItselfWithoutScripts(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t)
	b.do(t, "Emulation.setScriptExecutionDisabled", values{"value": true}, nil)
	b.do(t, "Page.navigate", values{"url": page.address()}, nil)
	assert.Eventually(t, func() bool { return len(page.received()) > 2 }, timeLimit, 50*time.Millisecond)
}

func TestDebugPage_TripsIsolatesAndResetsByItsForm(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	watchViolations(t, b)
	breaker := page.transport.Breaker("https://api.example.com")
	press := func(action, reason string) {
		t.Helper()
		b.open(t, page.address())
		evaluate[any](t, b, openAll)
		evaluate[any](t, b, fmt.Sprintf(`(() => {
			const form = [...document.forms].find(f => f.elements.origin.value.includes("//api."));
			form.elements.reason.value = %q;
			form.elements.duration.value = "2m";
			form.querySelector("button[value=%s]").click();
		})()`, reason, action))
		b.waitFor(t, `location.hash.startsWith("#o0-") && document.readyState === "complete"`)
		assertNoViolation(t, b)
	}
	press("trip", "a deploy & more")
	status := breaker.Status()
	assert.Equal(t, steadyhttp.BreakerOpen, status.State)
	assert.Equal(t, "a deploy & more", status.Reason)
	assert.InDelta(t, 120, time.Until(status.RetryAt).Seconds(), 20)
	assert.Contains(t, evaluate[string](t, b, `document.querySelector("tr:target").innerText`), "a deploy & more")

	press("isolate", "maintenance")
	assert.Zero(t, breaker.Status().RetryAt)
	press("reset", "")
	assert.Equal(t, steadyhttp.BreakerClosed, breaker.Status().State)
}

// A page elsewhere has a form that sends itself. A real browser sends it, and says where it comes from.
func TestDebugPage_FormOfAnotherSiteDoesNothing(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	const name = "https://api.example.com:443"
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<form method="post" action=%q><input name="action" value="isolate"><input name="transport" value="0"><input name="origin" value=%q></form>
			<script>document.forms[0].submit()</script>`, page.address(), name)
	}))
	defer evil.Close()
	for _, address := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		b.do(t, "Page.navigate", values{"url": address + "/"}, nil)
		b.waitFor(t, fmt.Sprintf("location.href === %q && document.readyState === 'complete'", page.address()))
		assert.Contains(t, evaluate[string](t, b, "document.body.innerText"), "cross-origin request")
		assert.Contains(t, page.received(), "POST /debug/steadyhttp")
	}
	assert.Equal(t, steadyhttp.BreakerClosed, page.transport.Breaker(name).Status().State)
}

// The picture of docs/observability.md is drawn by make screenshot.
func TestDebugPage_Screenshot(t *testing.T) {
	t.Parallel()
	b, page := startBrowser(t), startDebugPage(t, steadydebug.Writable())
	b.resize(t, 1100, 800)
	b.prefer(t, "light")
	b.open(t, page.address())
	evaluate[any](t, b, `document.querySelectorAll("tr:nth-child(1) details:last-child, tr:nth-child(2) details:first-of-type").forEach(d => d.open = true)`)
	picture := b.screenshot(t)
	decoded, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	assert.Equal(t, 1100, decoded.Bounds().Dx())
	assert.Less(t, len(picture), 150_000)
	if *screenshotFile != "" {
		require.NoError(t, os.WriteFile(*screenshotFile, picture, 0o644))
	}
}
