package steadyhttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A cuttingWriter drops the connection, or the stream, after so many bytes of a response's body.
type cuttingWriter struct {
	http.ResponseWriter
	left int
}

func (w *cuttingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; w.left == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// cutHandler serves content by net/http's own ranges and validators, and cuts each response after so many bytes.
func cutHandler(content []byte, tag string, cut func() int, sent *atomic.Int64) http.HandlerFunc {
	modified := time.Now().Add(-time.Hour)
	return func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("Etag", tag)
		}
		counting := &countingWriter{ResponseWriter: w, sent: sent}
		http.ServeContent(&cuttingWriter{ResponseWriter: counting, left: cut()}, r, "file.bin", modified, bytes.NewReader(content))
	}
}

type countingWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	return n, err
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// newContent is bytes that are the same nowhere, so that a wrong one is seen.
func newContent(size int) []byte {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content)
	return content
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

func newResumingTransport(t *testing.T, base *http.Transport, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	return newWireTransport(t, base, unlimitedRetryOptions(append(options, steadyhttp.WithResume(), steadyhttp.WithBodyTimeout(10*time.Second))...)...)
}

func TestResume_DownloadOverABreakingConnectionIsWhole(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, tag := range map[string]string{"by tag": `"v1"`, "by date": ""} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				content := newContent(8 << 20)
				var sent atomic.Int64
				server := newWireServer(t, startProtocols(spoken), cutHandler(content, tag, func() int { return 64<<10 + rand.IntN(1<<20) }, &sent))
				transport := newResumingTransport(t, &http.Transport{Protocols: spoken})
				response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
				require.NoError(t, err)
				path := filepath.Join(t.TempDir(), "file")
				file, err := os.Create(path)
				require.NoError(t, err)
				n, err := io.Copy(file, response.Body) // by os.File's ReadFrom
				require.NoError(t, err)
				require.NoError(t, file.Close())
				require.NoError(t, response.Body.Close())
				assert.EqualValues(t, len(content), n)
				downloaded, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, sum(content), sum(downloaded))
				assert.Greater(t, steadyhttp.Resumes(response), 5)
				assert.LessOrEqual(t, sent.Load(), int64(len(content)), "nothing is sent twice")
			})
		}
	})
}

func TestResume_OfAReplacedFileIsAnError(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		var sent atomic.Int64
		before, after := newContent(1<<20), bytes.Repeat([]byte{7}, 1<<20)
		cut := func() int { return 300 << 10 }
		server := newWireServer(t, startProtocols(spoken), cutHandler(before, `"v1"`, cut, &sent), cutHandler(before, `"v1"`, cut, &sent), cutHandler(after, `"v2"`, cut, &sent))
		response, err := newResumingTransport(t, &http.Transport{Protocols: spoken}).RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.ErrorIs(t, err, steadyhttp.ErrChanged)
		assert.Equal(t, before[:600<<10], content)
		assert.NoError(t, response.Body.Close())
	})
}

func TestResume_ServerWithoutRangesIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		content := newContent(1 << 20)
		var number atomic.Int64
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"v1"`)
			_, _ = (&cuttingWriter{w, int(number.Add(1)) * 300 << 10}).Write(content)
		})
		response, err := newResumingTransport(t, &http.Transport{Protocols: spoken}).RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, sum(content), sum(got))
		assert.Equal(t, 3, steadyhttp.Resumes(response))
	})
}

func TestResume_UnderTheClientsTimeout(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		content := newContent(1 << 20)
		var sent atomic.Int64
		server := newWireServer(t, startProtocols(spoken), cutHandler(content, `"v1"`, func() int { return 300 << 10 }, &sent),
			cutHandler(content, `"v1"`, func() int { return 300 << 10 }, &sent), func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		client := &http.Client{Transport: newResumingTransport(t, &http.Transport{Protocols: spoken})}
		client.Timeout = time.Second
		start := time.Now()
		response, err := client.Get(server.URL)
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		assert.Equal(t, content[:len(got)], got)
		assert.True(t, isBodyTimeout(err), "%v", err)
		assert.Less(t, time.Since(start), 10*time.Second)
		assert.Equal(t, 1, steadyhttp.Resumes(response), "http.Client has put a body of its own around ours")
		assert.NoError(t, response.Body.Close())
	})
}

func TestResume_TrailersArriveWithABodyThatIsWhole(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"v1"`)
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "content")
			w.Header().Set("X-Sum", "42")
		})
		call := sendWire(t, newResumingTransport(t, &http.Transport{Protocols: spoken}), newWireRequest(t, http.MethodGet, server.URL, ""))
		call.assertResponse(t, 200, "content")
		assert.Equal(t, "42", call.response.Trailer.Get("X-Sum"))
	})
}

// A stream of HTTP/2 that stalls may be one of a connection that is dead: what is missing is not asked for over it.
func TestResume_LeavesAConnectionThatDiedInTheBody(t *testing.T) {
	t.Parallel()
	runEachTLSProtocolWithBodies(t, func(t *testing.T, protocol string) {
		content := string(newContent(100 << 10))
		var n *pipeNetwork
		n = newPipeNetwork(t, protocol, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"v1"`)
			if r.Header.Get("Range") != "" {
				http.ServeContent(w, r, "file.bin", time.Time{}, strings.NewReader(content))
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = io.WriteString(w, content[:len(content)/2])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
			n.swallow()
			<-r.Context().Done()
		})
		transport := newTransport(t, hiddenBase{n.base(t), nil}, steadyhttp.WithResume(), steadyhttp.WithBodyTimeout(10*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, "https://example.com/", "").WithContext(ctx))
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		assert.NoError(t, err)
		assert.True(t, content == string(got), "the same bytes")
		assert.NoError(t, response.Body.Close())
		assert.EqualValues(t, 2, n.dials.Load())
	})
}

func TestResume_CloseInTheMiddleLeavesNothing(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		content := newContent(4 << 20)
		var sent atomic.Int64
		server := newWireServer(t, startProtocols(spoken), cutHandler(content, `"v1"`, func() int { return 100 << 10 }, &sent))
		transport := newResumingTransport(t, &http.Transport{Protocols: spoken})
		label := t.Name()
		pprof.Do(t.Context(), pprof.Labels("test", label), func(ctx context.Context) {
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
					if !assert.NoError(t, err) {
						return
					}
					closed := make(chan struct{})
					time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { defer close(closed); _ = response.Body.Close() })
					got, _ := io.ReadAll(response.Body)
					assert.Equal(t, content[:len(got)], got)
					<-closed
				})
			}
			assert.Positive(t, countLabeled(label), "the label is found")
			group.Wait()
		})
		assert.Eventually(t, func() bool {
			transport.CloseIdleConnections()
			return countLabeled(label) == 0
		}, 5*time.Second, 5*time.Millisecond)
	})
}
