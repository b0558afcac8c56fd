package steadyhttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestErrorText_EachKnownTextHasItsFacts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]errorFacts{
		"http: server closed idle connection":                            unprocessedFact,
		"http2: client conn could not be established":                    unprocessedFact,
		"http2: client conn not usable":                                  unprocessedFact,
		"http2: no cached connection was available":                      unprocessedFact,
		"http2: Transport received Server's graceful shutdown GOAWAY":    unprocessedFact,
		"http2: request header list larger than peer's advertised limit": permanentFact,
		"http2: Transport: cannot retry err [stream error: stream ID 1; REFUSED_STREAM; received from peer] after Request.Body was written; define Request.GetBody to avoid this error": unprocessedFact,
		"http2: Transport: cannot retry err [stream error: stream ID 1; PROTOCOL_ERROR; received from peer] after Request.Body was written; define Request.GetBody to avoid this error": 0,
		"http2: could not negotiate protocol mutually":                        refusalFact,
		`http2: unexpected ALPN protocol "http/1.1"; want "h2"`:               refusalFact,
		"tls: server selected unsupported group":                              refusalFact,
		"x509: malformed certificate":                                         refusalFact,
		"tls: protocol is shutdown":                                           0,
		"unknown error connection refused":                                    accidentFact,
		"unknown error connection not allowed by ruleset":                     0,
		"malformed HTTP status code \"wat\"":                                  accidentFact,
		`malformed HTTP response "SSH-2.0"`:                                   accidentFact,
		`malformed HTTP response "\x15\x03\x01"`:                              permanentFact,
		`malformed HTTP response "\x15\x03\x01`:                               accidentFact, // half a quotation
		"net/http: HTTP/1.x transport connection broken: EOF":                 brokenFact,
		"net/http: invalid method \"GE T\"":                                   netHTTPFact,
		"http: no Host in request URL":                                        netHTTPFact,
		`unsupported protocol scheme "unix"`:                                  netHTTPFact,
		"stream error: stream ID 1; PROTOCOL_ERROR; header list too large":    permanentFact,
		"an error of my own; header list too large":                           0,
		"note that the frame header looked like an HTTP/1.1 header":           0,
		"http2: x, note that the frame header looked like an HTTP/1.1 header": permanentFact,
		"mine: x, note that the frame header looked like an HTTP/1.1 header":  0,
		"connection error: COMPRESSION_ERROR":                                 unreadableFact,
		"connection error: PROTOCOL_ERROR":                                    unreadableFact,
		"connection error: FLOW_CONTROL_ERROR":                                0,
		"":                                                                    0, "?": 0,
	} {
		for _, err := range []error{errors.New(text), fmt.Errorf("wrapped: %w", errors.New(text)), &url.Error{Op: "Get", URL: "/", Err: errors.New(text)}} {
			assert.Equal(t, want, factsOf(err), "%q", err)
		}
	}
}

func TestErrorText_ReasonPhrasesSayWhoFailed(t *testing.T) {
	t.Parallel()
	for code := 100; code < 600; code++ {
		phrase := http.StatusText(code)
		if phrase == "" {
			continue
		}
		want := errorFacts(0)
		switch {
		case code >= 500:
			want = accidentFact
		case code >= 400:
			want = refusalFact
		}
		assert.Equal(t, want, factsOf(errors.New(phrase)), "%d %s", code, phrase)
		assert.Zero(t, factsOf(errors.New("not "+phrase)), phrase)
	}
}

// The text of an error that joins others begins with one of theirs, and an alert by itself does not say whose it is.
func TestErrorText_OfJoinedErrorsAndBareAlertsSaysNothing(t *testing.T) {
	t.Parallel()
	refusal := errors.New("tls: refused")
	assert.Equal(t, refusalFact|wireFact|accidentFact, factsOf(errors.Join(io.EOF, refusal)))
	assert.Equal(t, wireFact|accidentFact, factsOf(fmt.Errorf("tls: %w, %w", io.EOF, io.EOF)))
	assert.Zero(t, factsOf(tls.AlertError(40)))
}

func TestErrorText_TLSRecordHasATypeAndAVersion(t *testing.T) {
	t.Parallel()
	for kind := range 256 {
		for version := range 8 {
			want := kind >= 20 && kind <= 23 && version <= 4
			assert.Equal(t, want, isTLSRecord(string([]byte{byte(kind), 3, byte(version)})), "%d 3.%d", kind, version)
		}
	}
	assert.False(t, isTLSRecord("\x16\x02\x00"))
	assert.False(t, isTLSRecord("\x16\x03"))
}
