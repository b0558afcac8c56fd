package fault

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// Raw returns a step that responds with these bytes, which need not be HTTP, and then closes the connection. Without a
// network, net/http's HTTP/1 reads them as it reads them from a connection.
func Raw(text string) Step { return raw{text} }

type raw struct{ text string }

func (r raw) RoundTrip(request *http.Request) (*http.Response, error) {
	return step.Play(r.Internal(), request, nil)
}

func (r raw) String() string { return fmt.Sprintf("raw %.20q", r.text) }

func (r raw) Internal() step.Behavior {
	return step.Behavior{Stage: step.AtBody, Breaks: true, Play: r.play, Serve: r.serve}
}

// play returns errors as net/http decorates them (persistConn.mapRoundTripError).
func (r raw) play(request *http.Request) (*http.Response, error) {
	if r.text == "" {
		return nil, io.EOF
	}
	wire := bufio.NewReader(strings.NewReader(r.text))
	for {
		response, err := http.ReadResponse(wire, request)
		if err != nil {
			return nil, fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", err)
		}
		if !isInterim(response.StatusCode) {
			return response, nil
		}
	}
}

// isInterim reports whether another response follows (RFC 9110 §15.2).
func isInterim(code int) bool {
	return code >= http.StatusContinue && code < http.StatusOK && code != http.StatusSwitchingProtocols
}

func (r raw) serve(_ http.ResponseWriter, request *http.Request, conn step.Conn) {
	conn.Send(r.text)
	conn.HangUp(request)
}
