package steadyhttp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestClient_WrapCopiesTheClient(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	original := &http.Client{Transport: server, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	wrapped, err := steadyhttp.Wrap(original)
	require.NoError(t, err)
	assert.Same(t, server, original.Transport, "the argument is not touched")
	assert.IsType(t, &steadyhttp.Transport{}, wrapped.Transport)
	assert.Equal(t, time.Minute, wrapped.Timeout)
	assert.NotNil(t, wrapped.CheckRedirect)

	wrapped, err = steadyhttp.Wrap(original, steadyhttp.WithTimeout(time.Second))
	require.NoError(t, err)
	assert.Equal(t, time.Minute, wrapped.Timeout, "WithTimeout is the Transport's")
	assert.Equal(t, time.Minute, original.Timeout)

	wrapped, err = steadyhttp.Wrap(nil)
	require.NoError(t, err)
	assert.IsType(t, &steadyhttp.Transport{}, wrapped.Transport)
}

func TestClient_CloseIdleConnectionsIsForwarded(t *testing.T) {
	t.Parallel()
	base := &idleCloser{Transport: newScript(status(200))}
	client := &http.Client{Transport: newTransport(t, base)}
	client.CloseIdleConnections()
	assert.Equal(t, 1, base.closed)
	newTransport(t, newScript(status(200))).CloseIdleConnections() // a base that cannot
}
