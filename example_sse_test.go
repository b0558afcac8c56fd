package steadyhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

var errStreamEnded = errors.New("the server ended the stream for good")

// follow calls handle for each event of a stream, and connects again where the stream breaks, until ctx ends. The client
// retries until a response is there. What comes after that is a stream, which only this loop knows to continue.
func follow(ctx context.Context, client *http.Client, url string, handle func(data string)) error {
	lastID := ""
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "text/event-stream")
		if lastID != "" {
			request.Header.Set("Last-Event-ID", lastID)
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode == http.StatusNoContent { // the HTML standard: do not connect again
			response.Body.Close()
			return errStreamEnded
		}
		if err := steadyhttp.CheckResponse(response); err != nil {
			response.Body.Close()
			return err
		}
		lastID, err = readEvents(response.Body, lastID, handle)
		response.Body.Close()
		if errors.Is(err, bufio.ErrTooLong) { // it would be as long the next time
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil { // in earnest some seconds, with jitter
			return err
		}
	}
}

const maxLine = 4 << 20 // of a stream; a Scanner's default is 64 KiB

// readEvents reads until the stream breaks, and returns the ID of the last event that was whole.
func readEvents(stream io.Reader, lastID string, handle func(data string)) (string, error) {
	id, data := lastID, ""
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "": // the end of an event
			if data != "" {
				handle(strings.TrimSuffix(data, "\n"))
			}
			lastID, data = id, ""
		case name == "id":
			id = value
		case name == "data":
			data += value + "\n"
		}
	}
	return lastID, lines.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Server-sent events: the Transport retries each connection, and WithBodyTimeout finds one that died in silence.
func ExampleWithBodyTimeout_serverSentEvents() {
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(503),
		steadyhttptest.Status(200).Body("id: 1\ndata: hello\n\nid: 2\ndata: lost").Truncated(),
		steadyhttptest.Status(200).Body("id: 2\ndata: big\ndata: world\n\n"),
		steadyhttptest.Status(204),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits, // no Timeout: it would end the stream
		steadyhttp.WithBodyTimeout(45*time.Second), // this server sends a keep-alive every 15 s
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = follow(context.Background(), client, "https://api.example.com/events", func(data string) { fmt.Println(data) })
	fmt.Println(err)
	for _, attempt := range server.Attempts() {
		fmt.Printf("Last-Event-ID: %q\n", attempt.Header.Get("Last-Event-ID"))
	}
	// Output:
	// hello
	// big
	// world
	// the server ended the stream for good
	// Last-Event-ID: ""
	// Last-Event-ID: ""
	// Last-Event-ID: "1"
	// Last-Event-ID: "2"
}
