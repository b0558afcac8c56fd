package sdk

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"
)

func newStripe(client *http.Client, key string) *stripe.Client {
	backends := stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		HTTPClient:        client,
		MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return stripe.NewClient(key, stripe.WithBackends(backends))
}

func TestStripeGetSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusBadGateway), fail(http.StatusServiceUnavailable), answerJSON(`{"id": "cus_7", "name": "Ada"}`))
	ctx, assertStatuses := reported(t)
	customer, err := newStripe(at.steady(t), "sk_test").V1Customers.Retrieve(ctx, "cus_7", nil)
	require.NoError(t, err)
	assert.Equal(t, "Ada", customer.Name)
	assertStatuses(502, 503, 200)
}

// TestStripeCreatesOnceByItsKey shows that the SDK gives every write a key, by which Stripe knows it again.
func TestStripeCreatesOnceByItsKey(t *testing.T) {
	t.Parallel()
	created := make(map[string]int)
	create := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			created[r.Header.Get("Idempotency-Key")] = 1
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"id": "cus_7"}`))
		}
	}
	at := serve(t, create(http.StatusInternalServerError), create(http.StatusOK))
	ctx, assertStatuses := reported(t)
	customer, err := newStripe(at.steady(t), "sk_test").V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Ada")})
	require.NoError(t, err)
	assert.Equal(t, "cus_7", customer.ID)
	assertStatuses(500, 200)
	at.assertLines(t, "POST api.stripe.com/v1/customers", "POST api.stripe.com/v1/customers")
	at.assertSameBodies(t, "name=Ada")
	assert.Len(t, created, 1, "keys")
	assert.NotContains(t, created, "")
}

func TestStripeDoesNotRetryWhatWasRetried(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusServiceUnavailable))
	ctx, assertStatuses := reported(t)
	_, err := newStripe(at.steady(t), "sk_test").V1Customers.Retrieve(ctx, "cus_7", nil)
	require.Error(t, err)
	assertStatuses(503, 503, 503, 503)
}

func TestStripeDeclineIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusPaymentRequired))
	ctx, assertStatuses := reported(t)
	_, err := newStripe(at.steady(t), "sk_test").V1Customers.Create(ctx, &stripe.CustomerCreateParams{})
	require.Error(t, err)
	assertStatuses(402)
}
