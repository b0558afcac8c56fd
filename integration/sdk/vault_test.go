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

// aVault is one whose address and authority come from the environment.
func aVault(t *testing.T, at *service) *api.Client {
	t.Helper()
	t.Setenv("VAULT_ADDR", at.URL)
	t.Setenv("VAULT_CACERT_BYTES", authority(at))
	t.Setenv("VAULT_TOKEN", "token")
	t.Setenv("VAULT_TLS_SERVER_NAME", serverName)
	client, err := newVault(steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond))
	require.NoError(t, err)
	return client
}

func TestVaultReadSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	at := serve(t, fail(http.StatusInternalServerError), fail(http.StatusServiceUnavailable), answerJSON(`{"data": {"password": "hunter2"}}`))
	ctx, assertStatuses := reported(t)
	secret, err := aVault(t, at).Logical().ReadWithContext(ctx, "kv/cat")
	require.NoError(t, err)
	assert.Equal(t, "hunter2", secret.Data["password"])
	assertStatuses(500, 503, 200)
}

// TestVaultWriteIsAPutWhichOnlyTheCallerKnowsToBeUnsafe shows that a write that creates something must say so.
func TestVaultWriteIsAPutWhichOnlyTheCallerKnowsToBeUnsafe(t *testing.T) {
	at := serve(t, fail(http.StatusInternalServerError), answerJSON(`{"data": {}}`))
	client := aVault(t, at)
	ctx, assertStatuses := reported(t)
	_, err := client.Logical().WriteWithContext(steadyhttp.NoRetry(ctx), "auth/token/create", nil)
	var failed *api.ResponseError
	require.ErrorAs(t, err, &failed, "the SDK decodes the last answer")
	assertStatuses(500)

	at = serve(t, fail(http.StatusInternalServerError), answerJSON(`{"data": {}}`))
	ctx, assertStatuses = reported(t)
	_, err = aVault(t, at).Logical().WriteWithContext(ctx, "kv/cat", map[string]any{"name": "Tom"})
	require.NoError(t, err)
	assertStatuses(500, 200)
	at.assertSameBodies(t, `{"name":"Tom"}`)
}

func TestVaultQuotaIsWaitedOut(t *testing.T) {
	at := serve(t, fail(http.StatusTooManyRequests, "Retry-After", "1"), answerJSON(`{"data": {"ciphertext": "vault:v1:cat"}}`))
	ctx, assertStatuses := reported(t)
	secret, err := aVault(t, at).Logical().WriteWithContext(ctx, "transit/encrypt/cats", nil)
	require.NoError(t, err)
	assert.Equal(t, "vault:v1:cat", secret.Data["ciphertext"])
	assertStatuses(429, 200)
}
