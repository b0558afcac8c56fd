package sdk

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"

	"github.com/steadyhttp/steadyhttp"
)

func newStripe(client *http.Client, key string) *stripe.Client {
	backends := stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		HTTPClient:        client,
		MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return stripe.NewClient(key, stripe.WithBackends(backends))
}

func TestStripe_GetSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusBadGateway), status(http.StatusServiceUnavailable), respondJSON(`{"id": "cus_7", "name": "Ada"}`))
	ctx, assertStatuses := newReport(t)
	customer, err := newStripe(server.steadyClient(t), "sk_test").V1Customers.Retrieve(ctx, "cus_7", nil)
	require.NoError(t, err)
	assert.Equal(t, "Ada", customer.Name)
	assertStatuses(502, 503, 200)
}

// TestStripe_CreateIsRetriedWithItsKey shows that the SDK gives every write a key, by which Stripe recognizes a retry.
func TestStripe_CreateIsRetriedWithItsKey(t *testing.T) {
	t.Parallel()
	created := make(map[string]int)
	create := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			created[r.Header.Get("Idempotency-Key")] = 1
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"id": "cus_7"}`))
		}
	}
	server := newService(t, create(http.StatusInternalServerError), create(http.StatusOK))
	ctx, assertStatuses := newReport(t)
	customer, err := newStripe(server.steadyClient(t), "sk_test").V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Ada")})
	require.NoError(t, err)
	assert.Equal(t, "cus_7", customer.ID)
	assertStatuses(500, 200)
	server.assertLines(t, "POST api.stripe.com/v1/customers", "POST api.stripe.com/v1/customers")
	server.assertSameBodies(t, "name=Ada")
	assert.Len(t, created, 1, "keys")
	assert.NotContains(t, created, "")
}

func TestStripe_DoesNotRetryByItself(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable))
	ctx, assertStatuses := newReport(t)
	_, err := newStripe(server.steadyClient(t), "sk_test").V1Customers.Retrieve(ctx, "cus_7", nil)
	require.Error(t, err)
	assertStatuses(503, 503, 503, 503)
}

func TestStripe_DeclineIsNotRetried(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusPaymentRequired))
	ctx, assertStatuses := newReport(t)
	_, err := newStripe(server.steadyClient(t), "sk_test").V1Customers.Create(ctx, &stripe.CustomerCreateParams{})
	require.Error(t, err)
	assertStatuses(402)
}

// stripeBusy recognizes what Stripe refused for the moment: a lock, another request with the same key, a rate limit.
func stripeBusy(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response != nil && (response.StatusCode == http.StatusConflict || response.StatusCode == http.StatusTooManyRequests) {
		return steadyhttp.NotReady
	}
	return steadyhttp.Unclassified
}

func TestStripe_LockIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusConflict), status(http.StatusTooManyRequests, "Stripe-Should-Retry", "true"), respondJSON(`{"id": "cus_7"}`))
	ctx, assertStatuses := newReport(t)
	client := newStripe(server.steadyClient(t, steadyhttp.WithClassifier(stripeBusy)), "sk_test")
	_, err := client.V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Ada")})
	require.NoError(t, err)
	assertStatuses(409, 429, 200)
}

func TestStripe_ServerThatSaysNoIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusInternalServerError, "Stripe-Should-Retry", "false"))
	ctx, assertStatuses := newReport(t)
	_, err := newStripe(server.steadyClient(t), "sk_test").V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Ada")})
	require.Error(t, err)
	assertStatuses(500)
}
