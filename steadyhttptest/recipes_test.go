package steadyhttptest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// The code blocks of docs/testing.md are taken from here, word for word.

// A shop is a client of some web service: the code under test.
type shop struct{ client *http.Client }

// stock asks how many of an item there are.
func (s shop) stock(ctx context.Context, item string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://shop.example.com/stock/"+item, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("stock of %s: %s", item, response.Status)
	}
	var found struct{ Stock int }
	err = json.NewDecoder(response.Body).Decode(&found)
	return found.Stock, err
}

// order buys an item.
func (s shop) order(ctx context.Context, item string) error {
	content := strings.NewReader(strconv.Quote(item))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://shop.example.com/orders", content)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("order of %s: %s", item, response.Status)
	}
	return nil
}

// newShop is the shop as the program makes it, but over another transport.
func newShop(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) shop {
	t.Helper()
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return shop{client}
}

func TestStockSurvivesTwo503s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in here, waiting takes no time
		base := steadyhttptest.NewTransport(
			steadyhttptest.Status(503),
			steadyhttptest.Status(503),
			steadyhttptest.Status(200).Body(`{"stock": 7}`),
		)
		stock, err := newShop(t, base).stock(t.Context(), "boots")
		if stock != 7 || err != nil {
			t.Errorf("stock = %d, %v, want 7", stock, err)
		}
		base.AssertAttempts(t, 3)
		base.AssertClosed(t)
	})
}

func TestOrderIsNotSentTwice(t *testing.T) {
	base := steadyhttptest.NewTransport(
		steadyhttptest.Status(500), // the shop may have taken the order before it failed
		steadyhttptest.End(t),      // a second attempt fails the test
	)
	if err := newShop(t, base).order(t.Context(), "boots"); err == nil {
		t.Error("order was fine, want the 500 as an error")
	}
	base.AssertAttempts(t, 1)
	base.AssertBody(t, `"boots"`)
}

func TestStockHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(
			steadyhttptest.Status(429).Header("Retry-After", "30"),
			steadyhttptest.Status(200).Body(`{"stock": 7}`),
		)
		if _, err := newShop(t, base).stock(t.Context(), "boots"); err != nil {
			t.Error(err)
		}
		base.AssertWait(t, 1, 30*time.Second, 45*time.Second) // not less, and a little more: there is jitter
	})
}

func TestStockGivesUpOnARetryAfterThatIsNoGood(t *testing.T) {
	for _, value := range []string{steadyhttptest.BadRetryAfter, steadyhttptest.HugeRetryAfter} {
		base := steadyhttptest.NewTransport(steadyhttptest.Status(429).Header("Retry-After", value), steadyhttptest.End(t))
		if _, err := newShop(t, base).stock(t.Context(), "boots"); err == nil {
			t.Errorf("Retry-After: %s: no error", value)
		}
	}
}

// page is what the program shows. It must not fail when the shop does.
func (s shop) page(ctx context.Context) string {
	stock, err := s.stock(ctx, "boots")
	switch {
	case errors.Is(err, steadyhttp.ErrCircuitOpen):
		return "ask us later"
	case err != nil:
		return "out of order"
	default:
		return fmt.Sprintf("%d pairs", stock)
	}
}

func TestPageWhileTheBreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(steadyhttptest.Refused)
		shop := newShop(t, base,
			steadyhttp.WithMaxAttempts(1),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0), // opens at the first failure
		)
		expect := func(want string) {
			t.Helper()
			if got := shop.page(t.Context()); got != want {
				t.Errorf("page = %q, want %q", got, want)
			}
		}
		expect("out of order")
		expect("ask us later")
		base.AssertAttempts(t, 1) // the second call sent nothing

		base.Play(steadyhttptest.Status(200).Body(`{"stock": 7}`)) // the shop is back
		time.Sleep(2 * time.Second)                                // by now the breaker lets a probe through
		expect("7 pairs")
	})
}

func TestPageOfARejectedCall(t *testing.T) {
	rejected := &steadyhttp.CircuitOpenError{Origin: "https://shop.example.com:443"}
	shop := shop{&http.Client{Transport: steadyhttptest.Fail(rejected)}}
	if got := shop.page(t.Context()); got != "ask us later" {
		t.Errorf("page = %q", got)
	}
}

// chaosHandler switches chaos while the program runs: PUT /chaos?rate=0.05, and DELETE /chaos.
func chaosHandler(chaos *steadyhttptest.Injector) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			chaos.Stop()
			return
		}
		rate, err := strconv.ParseFloat(r.FormValue("rate"), 64)
		if err == nil {
			err = chaos.Start(steadyhttptest.Injection{
				Rate:  rate,
				Seed:  1,
				Match: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/stock/") },
				Steps: []steadyhttptest.Step{
					steadyhttptest.Status(503),
					steadyhttptest.Reset,
					steadyhttptest.Delay(2*time.Second, steadyhttptest.Status(200).Body("{").Truncated()),
				},
			})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

// newClient is how the program makes its client: with chaos below the retries, where servers fail.
func newClient(admin *http.ServeMux) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if os.Getenv("STAGE") == "production" {
		return steadyhttp.Wrap(&http.Client{Transport: transport})
	}
	chaos := &steadyhttptest.Injector{Base: transport} // off, until it is started
	admin.Handle("/chaos", chaosHandler(chaos))
	return steadyhttp.Wrap(&http.Client{Transport: chaos})
}

func TestChaosInStaging(t *testing.T) {
	server := steadyhttptest.NewServer(steadyhttptest.Status(200).Body(`{"stock": 7}`))
	defer server.Close()
	admin := &http.ServeMux{}
	client, err := newClient(admin)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	get := func() (fault string) {
		response, err := client.Do(request(t, steadyhttp.NoRetry(t.Context()), http.MethodGet, server.URL+"/stock/boots", ""))
		if err != nil {
			return "error"
		}
		defer response.Body.Close()
		return response.Header.Get(steadyhttptest.FaultHeader)
	}
	control := func(method, query string) int {
		answer := steadyhttptest.Handler(admin)
		code, _ := exchange(t, answer, request(t, t.Context(), method, "http://admin.example.com/chaos"+query, ""))
		return code
	}
	if got := get(); got != "" {
		t.Errorf("before chaos: %s", got)
	}
	if code := control(http.MethodPut, "?rate=2"); code != http.StatusBadRequest {
		t.Errorf("rate=2: %d", code)
	}
	if code := control(http.MethodPut, "?rate=1"); code != http.StatusOK {
		t.Errorf("rate=1: %d", code)
	}
	if got := get(); got == "" {
		t.Error("nothing was injected")
	}
	control(http.MethodDelete, "")
	if got := get(); got != "" {
		t.Errorf("after chaos: %s", got)
	}
}

// A document that shows other code than what is tested is worth little.
func TestRecipesOfTheDocumentAreTheOnesTested(t *testing.T) {
	document, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile("recipes_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(document), "```go\n")[1:]
	if len(blocks) < 6 {
		t.Errorf("got %d code blocks, want the shop and five recipes at least", len(blocks))
	}
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		for part := range strings.SplitSeq(strings.TrimSpace(code), "\n\n// ...\n\n") {
			if !strings.Contains(string(tested), part) {
				t.Errorf("not in recipes_test.go:\n%s", part)
			}
		}
	}
}
