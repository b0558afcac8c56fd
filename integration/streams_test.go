package integration

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

const streamSite = `server {` + listenDirectives + `
		location / {
			proxy_buffering off;
			proxy_pass http://{{.Application}};
		}
	}`

// TestStream_ServerSentEventsArriveForAsLongAsTheyAreSent calls through nginx, with an attempt timeout that is
// shorter than the stream.
func TestStream_ServerSentEventsArriveForAsLongAsTheyAreSent(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		server := startNginx(t, app.address, streamSite)
		transport := newTransport(t, p.base(), steadyhttp.WithAttemptTimeout(5*time.Second))
		assertEvents(t, transport, app, p.url(server.endpoint, "/"))
	})
}

func TestStream_ServerSentEventsArriveThroughTheReverseProxy(t *testing.T) {
	t.Parallel()
	app := startApplication(t)
	transport := newTransport(t, protocols[0].base(), steadyhttp.WithAttemptTimeout(5*time.Second))
	assertEvents(t, http.DefaultTransport, app, startReverseProxy(t, transport, "http://"+app.address).URL)
}

// Events come for 20 s.
const (
	events = 100
	every  = 200 * time.Millisecond
)

// assertEvents checks that every event arrives, in order, and soon after it was sent. The first attempt gets a 503.
func assertEvents(t *testing.T, transport http.RoundTripper, app *application, url string) {
	t.Helper()
	var sent atomic.Int64
	app.failNext(1)
	app.setHook(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range events {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			sent.Add(1)
			time.Sleep(every)
		}
	})
	request, err := newOrder(http.MethodGet, url, 0).request(t.Context())
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusOK, response.StatusCode)

	lines := bufio.NewScanner(response.Body)
	for i := range events {
		require.True(t, lines.Scan(), "event %d: %v", i, lines.Err())
		require.Equal(t, fmt.Sprintf("data: %d", i), lines.Text())
		require.Less(t, sent.Load(), int64(i+events/2), "events sent when number %d arrived", i)
		require.True(t, lines.Scan())
	}
	require.True(t, lines.Scan(), "the body that the application always sends: %v", lines.Err())
	assert.False(t, lines.Scan())
	assert.NoError(t, lines.Err())
}

func TestStream_LongPollIsWaitedFor(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		app.setHook(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) })
		server := startNginx(t, app.address, proxySite)
		got := send(t.Context(), newTransport(t, p.base()), newOrder(http.MethodPost, p.url(server.endpoint, "/"), 100))
		got.assertSuccess(t)
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
	})
}

// storeSite is a site that stores what is PUT, and serves it.
const storeSite = `server {` + listenDirectives + `
		location / {
			root {{.Directory}}/store;
			dav_methods PUT;
			create_full_put_path on;
			client_max_body_size 0;
		}
	}`

// huge is 200 MiB.
const huge = 200 << 20

// writeRandomFile makes a file of random bytes, and returns their checksum.
func writeRandomFile(t *testing.T, path string, size int) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	file, err := os.Create(path)
	require.NoError(t, err)
	hash := sha256.New()
	chunk := randomBytes(1 << 20)
	for written := 0; written < size; written += len(chunk) {
		chunk[0]++
		_, err = io.MultiWriter(file, hash).Write(chunk)
		require.NoError(t, err)
	}
	require.NoError(t, file.Close())
	return hex.EncodeToString(hash.Sum(nil))
}

func checksumOf(t *testing.T, content io.Reader) string {
	t.Helper()
	hash := sha256.New()
	_, err := io.Copy(hash, content)
	require.NoError(t, err)
	return hex.EncodeToString(hash.Sum(nil))
}

func TestStream_HugeDownloadArrivesWhole(t *testing.T) {
	runEachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storeSite)
		want := writeRandomFile(t, filepath.Join(server.Directory, "store", "huge"), huge)
		client := &http.Client{Transport: newTransport(t, p.base(), steadyhttp.WithAttemptTimeout(timeLimit))}
		response, err := client.Get(p.url(server.endpoint, "/huge"))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		assert.Equal(t, p.major, response.ProtoMajor)
		assert.Equal(t, want, checksumOf(t, response.Body))
	})
}

// TestStream_HugeUploadArrivesWholeAfterACutOffAttempt sends a file. GetBody opens it again for each attempt.
func TestStream_HugeUploadArrivesWholeAfterACutOffAttempt(t *testing.T) {
	runEachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storeSite)
		path := filepath.Join(t.TempDir(), "huge")
		want := writeRandomFile(t, path, huge)
		n := inFrontOf(t, p, server)
		n.addToxic(t, "limit_data", upstream, attributes{"bytes": huge / 10})

		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.url("/huge"), nil)
		require.NoError(t, err)
		request.ContentLength = huge
		request.GetBody = func() (io.ReadCloser, error) { return os.Open(path) }
		request.Body, err = request.GetBody()
		require.NoError(t, err)
		response, err := n.transport(t, onRetry(n.removeToxics)).RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusCreated, response.StatusCode)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		stored, err := os.Open(filepath.Join(server.Directory, "store", "huge"))
		require.NoError(t, err)
		defer func() { _ = stored.Close() }()
		assert.Equal(t, want, checksumOf(t, stored))
	})
}

func TestStream_RangeRequestContinuesWhatWasCutOff(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storeSite)
		content := randomBytes(large)
		path := filepath.Join(server.Directory, "store", "large")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, 0o644))
		n := inFrontOf(t, p, server)
		n.addToxic(t, "limit_data", downstream, attributes{"bytes": large / 2})
		transport := n.transport(t)

		start, status, err := n.fetch(t, transport, 0)
		require.Error(t, err, "an unexpected EOF or a reset")
		require.Equal(t, http.StatusPartialContent, status)
		require.NotEmpty(t, start)
		n.removeToxics()
		rest, status, err := n.fetch(t, transport, len(start))
		require.NoError(t, err)
		require.Equal(t, http.StatusPartialContent, status)
		assert.Equal(t, checksum(content), checksum(append(start, rest...)))

		_, status, err = n.fetch(t, transport, large)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, status, "a 416 is returned")
	})
}

// inFrontOf returns a network in front of an nginx.
func inFrontOf(t *testing.T, p protocol, server *nginx) *network {
	t.Helper()
	target := server.Plain
	if p.secure {
		target = server.Secure
	}
	return newNetworkTo(t, p, target)
}

func (n *network) url(path string) string { return n.scheme() + n.proxy.Listen + path }

// fetch requests everything after so many bytes.
func (n *network) fetch(t *testing.T, transport http.RoundTripper, from int) (content []byte, status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url("/large"), nil)
	require.NoError(t, err)
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err = io.ReadAll(response.Body)
	return content, response.StatusCode, err
}

// A trailingBody sets the trailer with its checksum once it has been read.
type trailingBody struct {
	io.Reader
	trailer http.Header
	sum     string
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.trailer.Set("Body-Checksum", b.sum)
	}
	return n, err
}

func (b *trailingBody) Close() error { return nil }

// TestStream_TrailersPassBothWaysOnEveryAttempt calls through haproxy, which forwards them.
func TestStream_TrailersPassBothWaysOnEveryAttempt(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		app.failNext(1)
		app.setHook(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Received-Checksum", r.Trailer.Get("Body-Checksum"))
		})
		server := startHaproxy(t, app.address)
		content := randomBytes(10_000)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.url(server.endpoint, "/"), nil)
		require.NoError(t, err)
		request.ContentLength = -1
		request.Trailer = http.Header{"Body-Checksum": nil}
		request.GetBody = func() (io.ReadCloser, error) {
			return &trailingBody{strings.NewReader(string(content)), request.Trailer, checksum(content)}, nil
		}
		request.Body, _ = request.GetBody()

		response, err := newTransport(t, p.base()).RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		assert.Equal(t, "PUT "+checksum(content), string(body))
		assert.Equal(t, checksum(content), response.Trailer.Get("Received-Checksum"))
	})
}

// A countingBody counts its reads.
type countingBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (b countingBody) Read(p []byte) (int, error) {
	b.read.Add(1)
	return b.ReadCloser.Read(p)
}

// newExpectRequest returns a request with Expect: 100-continue, and the number of reads of each attempt's body.
func newExpectRequest(t *testing.T, url string, content []byte) (request *http.Request, reads *[]*atomic.Int64) {
	t.Helper()
	request, err := newOrder(http.MethodPut, url, 0).request(t.Context())
	require.NoError(t, err)
	request.Header.Set("Expect", "100-continue")
	request.ContentLength = int64(len(content))
	reads = new([]*atomic.Int64)
	request.GetBody = func() (io.ReadCloser, error) {
		*reads = append(*reads, new(atomic.Int64))
		return countingBody{io.NopCloser(bytes.NewReader(content)), (*reads)[len(*reads)-1]}, nil
	}
	request.Body, _ = request.GetBody()
	return request, reads
}

// TestExpectContinue_SendsNoBodyToAServerThatRefusesIt calls the server of net/http, which closes the connection when it
// refuses the body. On a connection that stays open, the client of net/http sends the body even then, so that it can
// reuse the connection.
func TestExpectContinue_SendsNoBodyToAServerThatRefusesIt(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startDirectApplication(t, p)
		app.failNext(1)
		base := p.base()
		base.ExpectContinueTimeout = timeLimit // else the body is sent after a second
		content := randomBytes(10_000)
		request, reads := newExpectRequest(t, p.scheme()+app.address, content)

		response, err := newTransport(t, base).RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, "PUT "+checksum(content), string(body))
		require.Len(t, *reads, 2, "attempts")
		assert.Zero(t, (*reads)[0].Load(), "reads of the body that was refused with a 503")
		assert.Positive(t, (*reads)[1].Load())
	})
}

func TestExpectContinue_ReturnsTheClientFaultThatNginxFinds(t *testing.T) {
	t.Parallel()
	server := startNginx(t, "", strings.Replace(storeSite, "client_max_body_size 0", "client_max_body_size 1k", 1))
	base := protocols[0].base()
	base.ExpectContinueTimeout = timeLimit
	request, reads := newExpectRequest(t, "http://"+server.Plain+"/large", randomBytes(10_000))

	response, err := newTransport(t, base).RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.Len(t, *reads, 1, "attempts")
	assert.Zero(t, (*reads)[0].Load(), "reads of the body")
}
