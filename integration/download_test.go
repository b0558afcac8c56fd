package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A cuttingRelay passes connections on to a server, and closes each after 10 to 50 MiB of what the server sends.
type cuttingRelay struct {
	address   string
	target    string
	forwarded atomic.Int64
	cuts      atomic.Int64
}

const (
	mebibyte = 1 << 20
	leastCut = 10 * mebibyte
	mostCut  = 50 * mebibyte
)

func startCuttingRelay(t *testing.T, target string) *cuttingRelay {
	t.Helper()
	listener := listen(t, freeAddress(t))
	r := &cuttingRelay{address: listener.Addr().String(), target: target}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.relay(ctx, client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		running.Wait()
	})
	return r
}

func (r *cuttingRelay) relay(ctx context.Context, client net.Conn) {
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		_ = client.Close()
		return
	}
	closeBoth := func() { _, _ = client.Close(), server.Close() }
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	var requests sync.WaitGroup
	requests.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
		_, _ = io.Copy(io.Discard, client) // a reset would take away from the client what it has not read yet
	})
	n, err := io.CopyN(client, server, leastCut+rand.Int64N(mostCut-leastCut))
	r.forwarded.Add(n)
	if err == nil {
		r.cuts.Add(1)
	}
	_, _ = server.Close(), client.(*net.TCPConn).CloseWrite()
	requests.Wait()
}

// A fileServer serves the file over a relay.
type fileServer struct {
	name  string
	start func(t *testing.T, path string) (address string)
	protocol
}

// fileServers are the servers that downloads must survive with.
func fileServers() []fileServer {
	overNginx := func(t *testing.T, path string) endpoint {
		server := startNginx(t, "", `server {`+listenDirectives+`location / { root "`+filepath.Dir(path)+`"; } }`)
		return server.endpoint
	}
	return []fileServer{
		{"http.ServeContent", func(t *testing.T, path string) string {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }))
			t.Cleanup(server.Close)
			return server.Listener.Addr().String()
		}, protocols[0]},
		{"nginx", func(t *testing.T, path string) string { return overNginx(t, path).Plain }, protocols[0]},
		{"nginx over HTTP2", func(t *testing.T, path string) string { return overNginx(t, path).Secure }, protocols[2]},
		{"haproxy before nginx", func(t *testing.T, path string) string {
			return startHaproxy(t, overNginx(t, path).Plain).Plain
		}, protocols[0]},
	}
}

// TestDownload_OfAGibibyteSurvivesAConnectionThatBreaks is with the default budget, waits and attempts: what they bound must
// not end a download that makes progress. The breaker's rule of rates is off, since it would open at half of the outcomes:
// each of these bodies is a success, and breaks. It does not run beside other tests, since it measures the memory. DOWNLOAD sets how many
// MiB there are.
func TestDownload_OfAGibibyteSurvivesAConnectionThatBreaks(t *testing.T) {
	size := int64(1024)
	if given, err := strconv.ParseInt(os.Getenv("DOWNLOAD"), 10, 64); err == nil {
		size = given
	}
	size *= mebibyte
	directory, checksums := t.TempDir(), make(map[string]string)
	for _, s := range fileServers() {
		size := size
		if s.major == 2 {
			size /= 4 // the race detector makes it slow
		}
		path := filepath.Join(directory, strconv.FormatInt(size, 10), "file")
		if checksums[path] == "" {
			checksums[path] = writeOldFile(t, path, int(size))
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			relay := startCuttingRelay(t, s.start(t, path))
			transport := newTransport(t, s.base(), steadyhttp.WithResume(), steadyhttp.WithBodyTimeout(10*time.Second), steadyhttp.WithBreakerFailureRate(0, 1))
			start := time.Now()
			response, err := (&http.Client{Transport: transport}).Get(s.scheme() + relay.address + "/file")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, response.StatusCode)
			memory := &memoryWatch{Reader: response.Body}
			got := checksumOf(t, memory)
			require.NoError(t, response.Body.Close())

			assert.Equal(t, checksums[path], got)
			assert.Equal(t, s.major, response.ProtoMajor)
			assert.EqualValues(t, relay.cuts.Load(), steadyhttp.Resumes(response))
			assert.Eventually(t, func() bool { // the relay counts a connection's bytes at its end, and it is not idle at once
				transport.CloseIdleConnections()
				return relay.forwarded.Load() >= size
			}, timeLimit, 10*time.Millisecond)
			sent := float64(relay.forwarded.Load()) / float64(size)
			assert.LessOrEqual(t, sent, 1.01)
			assert.Less(t, memory.peak, uint64(256*mebibyte))
			t.Logf("%s: %d resumes, %.4f times the bytes, heap up to %d MiB, %v", s.name, steadyhttp.Resumes(response), sent, memory.peak/mebibyte, time.Since(start))
		})
	}
}

// writeOldFile makes a file that was not modified lately, so that its date is a strong validator.
func writeOldFile(t *testing.T, path string, size int) (checksum string) {
	t.Helper()
	checksum = writeRandomFile(t, path, size)
	anHourAgo := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, anHourAgo, anHourAgo))
	return checksum
}

// A memoryWatch notes how large the heap gets while it is read.
type memoryWatch struct {
	io.Reader
	read, next int64
	peak       uint64
}

func (m *memoryWatch) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.read += int64(n); m.read >= m.next {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		m.peak = max(m.peak, stats.HeapAlloc)
		m.next += 16 * mebibyte
	}
	return n, err
}

// TestDownload_OfAFileThatIsReplacedIsAnError replaces the file in the middle, as a deployment does.
func TestDownload_OfAFileThatIsReplacedIsAnError(t *testing.T) {
	t.Parallel()
	const size = 60 * mebibyte // more than is cut off at most
	for _, s := range fileServers() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			writeOldFile(t, path, size)
			before, err := os.Open(path)
			require.NoError(t, err)
			defer func() { _ = before.Close() }()
			relay := startCuttingRelay(t, s.start(t, path))
			transport := newTransport(t, s.base(), steadyhttp.WithResume(), onResume(func() {
				next := path + ".next"
				writeRandomFile(t, next, size)
				require.NoError(t, os.Rename(next, path))
			}))
			response, err := transport.RoundTrip(newGet(t, s.scheme()+relay.address+"/file"))
			require.NoError(t, err)
			hash := sha256.New()
			n, err := io.Copy(hash, response.Body)
			require.NoError(t, response.Body.Close())
			assert.ErrorIs(t, err, steadyhttp.ErrChanged)
			assert.Zero(t, steadyhttp.Resumes(response))
			start := sha256.New()
			_, err = io.CopyN(start, before, n)
			require.NoError(t, err)
			assert.Equal(t, hex.EncodeToString(start.Sum(nil)), hex.EncodeToString(hash.Sum(nil)), "nothing of the new one")
		})
	}
}

// TestDownload_OfAnObjectOfS3 has a server that does not know If-Range: it sends the rest of whatever the object is now.
func TestDownload_OfAnObjectOfS3(t *testing.T) {
	t.Parallel()
	const size = 100 * mebibyte
	for name, replaced := range map[string]bool{"that stays": false, "that is replaced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
			t.Cleanup(server.Close)
			put := func(path string, content []byte) {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+path, bytes.NewReader(content))
				require.NoError(t, err)
				response, err := http.DefaultClient.Do(request)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, http.StatusOK, response.StatusCode)
			}
			content := randomBytes(size)
			put("/bucket", nil)
			put("/bucket/object", content)
			relay := startCuttingRelay(t, server.Listener.Addr().String())
			transport := newTransport(t, protocols[0].base(), steadyhttp.WithResume(), onResume(func() {
				if replaced {
					put("/bucket/object", randomBytes(size))
				}
			}))
			response, err := transport.RoundTrip(newGet(t, "http://"+relay.address+"/bucket/object"))
			require.NoError(t, err)
			got, err := io.ReadAll(response.Body)
			require.NoError(t, response.Body.Close())
			if replaced {
				assert.ErrorIs(t, err, steadyhttp.ErrChanged)
				assert.Equal(t, checksum(content[:len(got)]), checksum(got))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, checksum(content), checksum(got))
			assert.Positive(t, steadyhttp.Resumes(response))
		})
	}
}

// onResume acts before each resume.
func onResume(act func()) steadyhttp.Option {
	return steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
		if e.Kind == steadyhttp.EventResume && e.Stopped == 0 {
			act()
		}
	})
}

func newGet(t *testing.T, url string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return request
}
