package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// newShop returns a Shop that calls through a steadyhttp client over base.
func newShop(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) Shop {
	t.Helper()
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return Shop{Client: client, URL: "http://shop.example.com"}
}

func TestStock_SurvivesTwo503s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in this bubble, waits take no time
		base := steadyhttptest.NewTransport(
			steadyhttptest.Status(503),
			steadyhttptest.Status(503),
			steadyhttptest.Status(200).Body(`{"stock": 7}`),
		)
		stock, err := newShop(t, base).Stock(t.Context(), "boots")
		if stock != 7 || err != nil {
			t.Errorf("stock = %d, %v, want 7", stock, err)
		}
		base.AssertAttempts(t, 3)
		base.AssertClosed(t)
	})
}

func TestOrder_IsNotSentTwice(t *testing.T) {
	base := steadyhttptest.NewTransport(
		steadyhttptest.Status(500), // the shop may have taken the order before it failed
		steadyhttptest.End(t),      // a second attempt fails the test
	)
	if err := newShop(t, base).Order(t.Context(), "boots"); err == nil {
		t.Error("the order succeeded, want an error for the 500")
	}
	base.AssertAttempts(t, 1)
	base.AssertBody(t, `"boots"`)
}

func TestStock_HonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(
			steadyhttptest.Status(429).Header("Retry-After", "30"),
			steadyhttptest.Status(200).Body(`{"stock": 7}`),
		)
		if _, err := newShop(t, base).Stock(t.Context(), "boots"); err != nil {
			t.Error(err)
		}
		base.AssertWait(t, 1, 30*time.Second, 45*time.Second) // never less; jitter makes it more
	})
}

func TestStock_ReturnsA429WithAnImpossibleRetryAfter(t *testing.T) {
	for _, value := range []string{steadyhttptest.BadRetryAfter, steadyhttptest.HugeRetryAfter} {
		base := steadyhttptest.NewTransport(steadyhttptest.Status(429).Header("Retry-After", value), steadyhttptest.End(t))
		if _, err := newShop(t, base).Stock(t.Context(), "boots"); err == nil {
			t.Errorf("Retry-After: %s: no error", value)
		}
	}
}

func TestStock_EndsWithTheDeadlineIfTheShopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // without it: panic: deadlock
		defer cancel()
		base := steadyhttptest.NewTransport(steadyhttptest.Hang)
		_, err := newShop(t, base).Stock(ctx, "boots")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the deadline", err)
		}
	})
}

func TestPage_WhileTheBreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(steadyhttptest.Refused)
		shop := newShop(t, base,
			steadyhttp.WithMaxAttempts(1),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0), // opens at the first failure
		)
		expect := func(want string) {
			t.Helper()
			if got := shop.Page(t.Context()); got != want {
				t.Errorf("page = %q, want %q", got, want)
			}
		}
		expect("out of order")
		expect("ask us later")
		base.AssertAttempts(t, 1) // the second call sent nothing

		base.Play(steadyhttptest.Status(200).Body(`{"stock": 7}`)) // the shop is back
		time.Sleep(2 * time.Second)                                // by now the breaker allows a probe
		expect("7 pairs")
	})
}

func TestPage_OfARejectedCall(t *testing.T) {
	rejected := &steadyhttp.CircuitOpenError{Origin: "http://shop.example.com:80"}
	shop := Shop{Client: &http.Client{Transport: steadyhttptest.Fail(rejected)}}
	if got := shop.Page(t.Context()); got != "ask us later" {
		t.Errorf("page = %q", got)
	}
}

func TestStock_OverAnHTTPTestServer(t *testing.T) {
	server := httptest.NewServer(failOnce())
	defer server.Close()
	client, err := steadyhttp.Wrap(server.Client(), // a new client for each test
		steadyhttp.WithBackoff(1, 1), // waits of a nanosecond
		steadyhttp.WithoutBreaker(),  // failures on purpose open no breaker
	)
	if err != nil {
		t.Fatal(err)
	}
	stock, err := Shop{Client: client, URL: server.URL}.Stock(t.Context(), "boots")
	if stock != 7 || err != nil {
		t.Errorf("stock = %d, %v, want 7", stock, err)
	}
}

// failOnce is the shop's web service. Its first response is a 503.
func failOnce() http.Handler {
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"stock": 7}`)
	})
}

func TestStock_OverAServerInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewPipeServer(steadyhttptest.Handler(failOnce()))
		defer server.Close()
		stock, err := newShop(t, server.Client().Transport).Stock(t.Context(), "boots")
		if stock != 7 || err != nil {
			t.Errorf("stock = %d, %v, want 7", stock, err)
		}
		server.AssertAttempts(t, 2)
	})
}
