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

const streaming = `server {` + listening + `
		location / {
			proxy_buffering off;
			proxy_pass http://{{.Application}};
		}
	}`

// TestServerSentEventsArriveForAsLongAsTheyAreSent calls through nginx, with an attempt timeout that is over long before them.
func TestServerSentEventsArriveForAsLongAsTheyAreSent(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startNginx(t, shop.address, streaming)
		transport := steady(t, p.base(), steadyhttp.WithAttemptTimeout(5*time.Second))
		assertEvents(t, transport, shop, p.url(server.endpoint, "/"))
	})
}

func TestServerSentEventsArriveThroughTheReverseProxy(t *testing.T) {
	t.Parallel()
	shop := deploy(t)
	transport := steady(t, protocols[0].base(), steadyhttp.WithAttemptTimeout(5*time.Second))
	assertEvents(t, http.DefaultTransport, shop, reverseProxy(t, transport, "http://"+shop.address).URL)
}

// Events come for 20 seconds.
const (
	events = 100
	every  = 200 * time.Millisecond
)

// assertEvents checks that every event arrives, in order, and not only once all have been sent. The first
// attempt is answered with a 503.
func assertEvents(t *testing.T, transport http.RoundTripper, shop *application, url string) {
	t.Helper()
	var sent atomic.Int64
	shop.refuse(1)
	shop.firstly(func(w http.ResponseWriter, _ *http.Request) {
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
	require.True(t, lines.Scan(), "the application's own answer: %v", lines.Err())
	assert.False(t, lines.Scan())
	assert.NoError(t, lines.Err())
}

func TestLongPollIsWaitedFor(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		shop.firstly(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) })
		server := startNginx(t, shop.address, forwarding)
		d := deliver(t.Context(), steady(t, p.base()), newOrder(http.MethodPost, p.url(server.endpoint, "/"), 100))
		d.assertAnswered(t)
		d.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
	})
}

// storing is a site that keeps what is PUT, and gives it to whoever asks.
const storing = `server {` + listening + `
		location / {
			root {{.Directory}}/store;
			dav_methods PUT;
			create_full_put_path on;
			client_max_body_size 0;
		}
	}`

// huge is 200 MiB.
const huge = 200 << 20

// writeNoise makes a file of random bytes, and returns their checksum.
func writeNoise(t *testing.T, path string, size int) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	file, err := os.Create(path)
	require.NoError(t, err)
	hash := sha256.New()
	chunk := noise(1 << 20)
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

func TestHugeDownloadArrivesWhole(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storing)
		want := writeNoise(t, filepath.Join(server.Directory, "store", "huge"), huge)
		client := &http.Client{Transport: steady(t, p.base(), steadyhttp.WithAttemptTimeout(patience))}
		response, err := client.Get(p.url(server.endpoint, "/huge"))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		assert.Equal(t, p.major, response.ProtoMajor)
		assert.Equal(t, want, checksumOf(t, response.Body))
	})
}

// TestHugeUploadArrivesWholeThoughTheFirstAttemptIsCutOff sends a file, which the client opens anew for each attempt.
func TestHugeUploadArrivesWholeThoughTheFirstAttemptIsCutOff(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storing)
		path := filepath.Join(t.TempDir(), "huge")
		want := writeNoise(t, path, huge)
		between := before(t, p, server)
		between.poison(t, "limit_data", upstream, attributes{"bytes": huge / 10})

		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, between.at("/huge"), nil)
		require.NoError(t, err)
		request.ContentLength = huge
		request.GetBody = func() (io.ReadCloser, error) { return os.Open(path) }
		request.Body, err = request.GetBody()
		require.NoError(t, err)
		response, err := between.client(t, onRetry(between.cure)).RoundTrip(request)
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

func TestRangesAreAnsweredInPartAndResumeWhatWasCutOff(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		server := startNginx(t, "", storing)
		content := noise(large)
		path := filepath.Join(server.Directory, "store", "large")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, 0o644))
		between := before(t, p, server)
		between.poison(t, "limit_data", downstream, attributes{"bytes": large / 2})
		transport := between.client(t)

		start, status, err := between.fetch(t, transport, 0)
		require.Error(t, err, "an unexpected EOF or a reset")
		require.Equal(t, http.StatusPartialContent, status)
		require.NotEmpty(t, start)
		between.cure()
		rest, status, err := between.fetch(t, transport, len(start))
		require.NoError(t, err)
		require.Equal(t, http.StatusPartialContent, status)
		assert.Equal(t, checksum(content), checksum(append(start, rest...)))

		_, status, err = between.fetch(t, transport, large)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, status, "a 416 is the caller's affair")
	})
}

// before puts a network before an nginx.
func before(t *testing.T, p protocol, server *nginx) *network {
	t.Helper()
	target := server.Plain
	if p.secure {
		target = server.Secure
	}
	return connect(t, p, target)
}

func (n *network) at(path string) string { return n.scheme() + n.proxy.Listen + path }

// fetch asks for all that comes after so many bytes.
func (n *network) fetch(t *testing.T, transport http.RoundTripper, from int) (content []byte, status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.at("/large"), nil)
	require.NoError(t, err)
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err = io.ReadAll(response.Body)
	return content, response.StatusCode, err
}

// A trailing body announces its checksum once it has been read.
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

// TestTrailersPassBothWaysOnEveryAttempt calls through haproxy, which passes them on.
func TestTrailersPassBothWaysOnEveryAttempt(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		shop.refuse(1)
		shop.firstly(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Received-Checksum", r.Trailer.Get("Body-Checksum"))
		})
		server := startHaproxy(t, shop.address)
		content := noise(10_000)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.url(server.endpoint, "/"), nil)
		require.NoError(t, err)
		request.ContentLength = -1
		request.Trailer = http.Header{"Body-Checksum": nil}
		request.GetBody = func() (io.ReadCloser, error) {
			return &trailingBody{strings.NewReader(string(content)), request.Trailer, checksum(content)}, nil
		}
		request.Body, _ = request.GetBody()

		response, err := steady(t, p.base()).RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		assert.Equal(t, "PUT "+checksum(content), string(answer))
		assert.Equal(t, checksum(content), response.Trailer.Get("Received-Checksum"))
	})
}

// A wantedBody tells whether anybody has read of it.
type wantedBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (b wantedBody) Read(p []byte) (int, error) {
	b.read.Add(1)
	return b.ReadCloser.Read(p)
}

// expecting makes a request that asks before it sends its body, and counts the reads of each attempt's.
func expecting(t *testing.T, url string, content []byte) (request *http.Request, reads *[]*atomic.Int64) {
	t.Helper()
	request, err := newOrder(http.MethodPut, url, 0).request(t.Context())
	require.NoError(t, err)
	request.Header.Set("Expect", "100-continue")
	request.ContentLength = int64(len(content))
	reads = new([]*atomic.Int64)
	request.GetBody = func() (io.ReadCloser, error) {
		*reads = append(*reads, new(atomic.Int64))
		return wantedBody{io.NopCloser(bytes.NewReader(content)), (*reads)[len(*reads)-1]}, nil
	}
	request.Body, _ = request.GetBody()
	return request, reads
}

// TestExpectContinueSendsNoBodyToWhoeverRefusesIt calls net/http's server, which closes the connection when it
// refuses. Where it stays open, net/http's client sends the body after the refusal, to use the connection again.
func TestExpectContinueSendsNoBodyToWhoeverRefusesIt(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploySpeaking(t, p)
		shop.refuse(1)
		base := p.base()
		base.ExpectContinueTimeout = patience // else the body is sent after a second, wanted or not
		content := noise(10_000)
		request, reads := expecting(t, p.scheme()+shop.address, content)

		response, err := steady(t, base).RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, "PUT "+checksum(content), string(answer))
		require.Len(t, *reads, 2, "attempts")
		assert.Zero(t, (*reads)[0].Load(), "reads of the body that was refused with a 503")
		assert.Positive(t, (*reads)[1].Load())
	})
}

func TestExpectContinueEndsWithTheClientFaultThatNginxFinds(t *testing.T) {
	t.Parallel()
	server := startNginx(t, "", strings.Replace(storing, "client_max_body_size 0", "client_max_body_size 1k", 1))
	base := protocols[0].base()
	base.ExpectContinueTimeout = patience
	request, reads := expecting(t, "http://"+server.Plain+"/large", noise(10_000))

	response, err := steady(t, base).RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.Len(t, *reads, 1, "attempts")
	assert.Zero(t, (*reads)[0].Load(), "reads of the body")
}
