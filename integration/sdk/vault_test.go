package sdk

import (
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func newVault(options ...steadyhttp.Option) (*api.Client, error) {
	settings := api.DefaultConfig()
	if settings.Error != nil {
		return nil, settings.Error
	}
	client, err := steadyhttp.Wrap(settings.HttpClient, options...)
	if err != nil {
		return nil, err
	}
	settings.HttpClient = client
	settings.MaxRetries = 0
	return api.NewClient(settings)
}

// newTestVault returns one whose address and certificate come from the environment.
func newTestVault(t *testing.T, server *service) *api.Client {
	t.Helper()
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_CACERT_BYTES", certificatePEM(server))
	t.Setenv("VAULT_TOKEN", "token")
	t.Setenv("VAULT_TLS_SERVER_NAME", serverName)
	client, err := newVault(steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond))
	require.NoError(t, err)
	return client
}

func TestVault_ReadSucceedsAfterFailures(t *testing.T) {
	server := newService(t, status(http.StatusInternalServerError), status(http.StatusServiceUnavailable), respondJSON(`{"data": {"password": "hunter2"}}`))
	ctx, assertStatuses := newReport(t)
	secret, err := newTestVault(t, server).Logical().ReadWithContext(ctx, "kv/cat")
	require.NoError(t, err)
	assert.Equal(t, "hunter2", secret.Data["password"])
	assertStatuses(500, 503, 200)
}

// TestVault_WriteIsRetriedUnlessTheCallerForbidsIt shows that a write counts as idempotent: it is a PUT. The caller
// of a write that creates something must forbid the retry.
func TestVault_WriteIsRetriedUnlessTheCallerForbidsIt(t *testing.T) {
	server := newService(t, status(http.StatusInternalServerError), respondJSON(`{"data": {}}`))
	client := newTestVault(t, server)
	ctx, assertStatuses := newReport(t)
	_, err := client.Logical().WriteWithContext(steadyhttp.NoRetry(ctx), "auth/token/create", nil)
	var failed *api.ResponseError
	require.ErrorAs(t, err, &failed, "the SDK decodes the last response")
	assertStatuses(500)

	server = newService(t, status(http.StatusInternalServerError), respondJSON(`{"data": {}}`))
	ctx, assertStatuses = newReport(t)
	_, err = newTestVault(t, server).Logical().WriteWithContext(ctx, "kv/cat", map[string]any{"name": "Tom"})
	require.NoError(t, err)
	assertStatuses(500, 200)
	server.assertSameBodies(t, `{"name":"Tom"}`)
}

func TestVault_QuotaIsWaitedFor(t *testing.T) {
	server := newService(t, status(http.StatusTooManyRequests, "Retry-After", "1"), respondJSON(`{"data": {"ciphertext": "vault:v1:cat"}}`))
	ctx, assertStatuses := newReport(t)
	secret, err := newTestVault(t, server).Logical().WriteWithContext(ctx, "transit/encrypt/cats", nil)
	require.NoError(t, err)
	assert.Equal(t, "vault:v1:cat", secret.Data["ciphertext"])
	assertStatuses(429, 200)
}
