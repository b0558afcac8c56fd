package sdk

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func newElastic(transport http.RoundTripper, addresses ...string) (*elasticsearch.Client, error) {
	return elasticsearch.New(
		elasticsearch.WithAddresses(addresses...),
		elasticsearch.WithTransportOptions(
			elastictransport.WithTransport(transport),
			elastictransport.WithDisableRetry(),
		),
	)
}

// respondElastic responds as Elasticsearch does: its client checks the product.
func respondElastic(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		respondJSON(content)(w, r)
	}
}

func newTestElastic(t *testing.T, server *service) *elasticsearch.Client {
	t.Helper()
	client, err := newElastic(server.steadyClient(t).Transport, "https://search.example.com:9200")
	require.NoError(t, err)
	return client
}

func TestElastic_SearchSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusBadGateway), status(http.StatusServiceUnavailable), respondElastic(`{"took": 7}`))
	client := newTestElastic(t, server)
	ctx, assertStatuses := newReport(t)
	response, err := client.Search(
		client.Search.WithContext(steadyhttp.Idempotent(ctx)), // a POST that changes nothing
		client.Search.WithIndex("cats"),
		client.Search.WithBody(strings.NewReader(`{"query": {}}`)),
	)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var found struct{ Took int }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&found))
	assert.Equal(t, 7, found.Took)
	assertStatuses(502, 503, 200)
	server.assertSameBodies(t, `{"query": {}}`)
}

func TestElastic_DocumentWithoutAnIDIsNotRetried(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable))
	client := newTestElastic(t, server)
	ctx, assertStatuses := newReport(t)
	response, err := client.Index("cats", strings.NewReader(`{}`), client.Index.WithContext(ctx))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assertStatuses(503)
}

func TestElastic_DocumentWithAnIDIsRetried(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), respondElastic(`{}`))
	client := newTestElastic(t, server)
	ctx, assertStatuses := newReport(t)
	response, err := client.Index("cats", strings.NewReader(`{}`), client.Index.WithContext(ctx), client.Index.WithDocumentID("7"))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assertStatuses(503, 200)
	server.assertSameBodies(t, `{}`)
}
