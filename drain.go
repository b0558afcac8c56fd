package steadyhttp

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	drainLimit = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// discard reads a body that nobody wants to its end, so that its connection is used again, and closes
// it; but it does not read for ever, nor longer than the caller waits. A body that stalls is closed
// under the reader, which net/http's bodies allow, by a goroutine, since an HTTP/2 body's Close can wait
// for a stuck request body (golang/go#48908). Should the body panic, so does the call: nobody could recover
// it in a goroutine of ours.
func discard(request *http.Request, body io.ReadCloser) {
	var once sync.Once
	closeOnce := func() { once.Do(func() { _ = body.Close() }) }
	closed := make(chan any, 2) // what there was to recover from, or nil
	inBackground := func(step func()) {
		defer func() { closed <- recover() }()
		step()
	}
	go inBackground(func() {
		defer closeOnce()
		_, _ = io.CopyN(io.Discard, body, drainLimit)
	})
	limit, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	select {
	case reason := <-closed:
		repanic(reason)
		return
	case <-limit.Done():
	case <-request.Context().Done():
	case <-cancelOf(request):
	}
	go inBackground(closeOnce)
	select {
	case reason := <-closed:
		repanic(reason)
	case <-limit.Done():
	}
}

func repanic(reason any) {
	if reason != nil {
		panic(reason)
	}
}
