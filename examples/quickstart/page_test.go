package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The outage is shown while it lasts, and until the quickstart is interrupted.
func TestPage_ShowsTheOutageUntilInterrupted(t *testing.T) {
	t.Parallel()
	o, err := startOutage(true)
	require.NoError(t, err)
	defer o.stop()
	var out bytes.Buffer
	o.log = newTimeline(&out, o.server.received)
	require.NoError(t, o.callUntilOpen(t.Context()))
	assert.Contains(t, readPage(t, o), "1 origin: 1 open")

	interrupted, interrupt := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		o.goOn(interrupted, &out)
		close(ended)
	}()
	assert.Contains(t, readPage(t, o), strings.TrimPrefix(o.address, "http://"))
	interrupt()
	<-ended
	assert.Contains(t, out.String(), "Ctrl-C: "+o.page)
}

func readPage(t *testing.T, o *outage) string {
	t.Helper()
	response, err := http.Get(o.page + "?format=text")
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(content)
}
