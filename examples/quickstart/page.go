package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

const pagePath = "/debug/steadyhttp"

// servePage serves what the breaker does, with actions: the page is on a loopback address, and there is nothing to lose.
func (o *outage) servePage(transport *steadyhttp.Transport) error {
	mux := http.NewServeMux()
	mux.Handle(pagePath, steadydebug.HandlerFor([]*steadyhttp.Transport{transport}, steadydebug.Writable()))
	address, stop, err := serve(mux)
	if err != nil {
		return err
	}
	stopServer := o.stop
	o.page, o.stop = address+pagePath, func() { stop(); stopServer() }
	return nil
}

// turn is for how long the server fails, and then works.
const turn = 15 * time.Second

// goOn calls a server that fails and works in turn, until it is interrupted.
func (o *outage) goOn(interrupted context.Context, out io.Writer) {
	fmt.Fprintf(out, "\nThe outage comes again every %s. Watch it, and end it with Ctrl-C: %s\n\n", 2*turn, o.page)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() { o.callUntilInterrupted(interrupted) })
	}
	for repaired := false; wait(interrupted, turn); repaired = !repaired {
		o.server.repaired.Store(repaired)
	}
	running.Wait()
}

func (o *outage) callUntilInterrupted(interrupted context.Context) {
	for wait(interrupted, interval) {
		_ = o.call(interrupted, http.StatusOK) // the page shows how calls end
	}
}

// wait reports whether it was not interrupted.
func wait(interrupted context.Context, d time.Duration) bool {
	select {
	case <-interrupted.Done():
		return false
	case <-time.After(d):
		return true
	}
}
