package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

const (
	fileSize = 20 << 20
	cutAfter = fileSize/4 + 1<<19 // so that there are three cuts
	cuts     = 3
)

// A cuttingServer serves a file as net/http does, and drops the connection after so many bytes of each response.
type cuttingServer struct {
	content  []byte
	requests atomic.Int64
	sent     atomic.Int64 // bytes of bodies
}

func newCuttingServer() *cuttingServer {
	content := make([]byte, fileSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	return &cuttingServer{content: content}
}

func (s *cuttingServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	s.requests.Add(1)
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(&cuttingWriter{ResponseWriter: w, server: s, left: cutAfter}, request, "file.bin", time.Time{}, bytes.NewReader(s.content))
}

// A cuttingWriter is a connection that breaks.
type cuttingWriter struct {
	http.ResponseWriter
	server *cuttingServer
	left   int
}

func (w *cuttingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	w.server.sent.Add(int64(n))
	if w.left -= n; w.left == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// runDownload downloads a file over a connection that breaks.
func runDownload(ctx context.Context, out io.Writer, number int) error {
	printTitle(out, number, "GET of 20 MiB: the connection breaks three times")
	server := newCuttingServer()
	address, stop, err := serve(server)
	if err != nil {
		return err
	}
	defer stop()
	client, err := steadyhttp.NewClient(steadyhttp.WithResume())
	if err != nil {
		return err
	}
	ctx, report := steadyhttp.WithReport(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/file.bin", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	downloaded := sha256.New()
	size, err := io.Copy(downloaded, response.Body)

	printAttempts(out, report)
	fmt.Fprintf(out, "\n   the caller read %d MiB · resumed: %s · the server sent %d MiB\n",
		size>>20, count(steadyhttp.Resumes(response), "time"), server.sent.Load()>>20)
	whole := sha256.Sum256(server.content)
	failure := cmp.Or(
		err,
		expect("same bytes", bytes.Equal(downloaded.Sum(nil), whole[:]), true),
		expect("resumes", steadyhttp.Resumes(response), cuts),
		expect("attempts", len(report.Attempts), cuts+1),
		expect("requests that the server received", int(server.requests.Load()), cuts+1),
		expect("bytes that the server sent", server.sent.Load(), fileSize),
	)
	printExplanation(out, failure, "With WithResume, a body that breaks is continued: the client asks for the rest by "+
		"Range, and by If-Range for nothing but the same file. io.Copy notices none of it, and no byte is sent twice. "+
		"If the file had been replaced meanwhile, reading would have ended with an error that says so.")
	if failure != nil {
		return fmt.Errorf("download: %w", failure)
	}
	return nil
}
