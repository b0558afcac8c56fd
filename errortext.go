package steadyhttp

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Most errors of net/http have no type, so that their texts must do. The tests provoke each of them, and fail if a new
// Go changes one.

const (
	goAwayText        = "http2: Transport received GOAWAY from server ErrCode:" // http2ClientConn.setGoAway
	errNotEstablished = "http2: client conn could not be established"
)

// knownTexts are whole texts.
var knownTexts = sync.OnceValue(func() map[string]errorFacts {
	texts := map[string]errorFacts{
		// http.Transport picked an idle connection that the server had closed. It then knows that nothing was written
		// (persistConn.mapRoundTripError).
		"http: server closed idle connection": unprocessedFact,
		// There was no stream yet, or it was above the last one that a GOAWAY counted in (RFC 9113 §6.8).
		errNotEstablished:                                             unprocessedFact,
		"http2: client conn not usable":                               unprocessedFact,
		"http2: no cached connection was available":                   unprocessedFact,
		"http2: Transport received Server's graceful shutdown GOAWAY": unprocessedFact,
		// The server will not speak HTTP/2 with us, for this request or at all.
		goAwayText + "HTTP_1_1_REQUIRED":   permanentFact,
		goAwayText + "INADEQUATE_SECURITY": permanentFact,
		// A header is larger than the other side takes: the request's, as SETTINGS_MAX_HEADER_LIST_SIZE said (RFC 9113
		// §6.5.2; over HTTP/1 that is a 431), or the response's.
		"http2: request header list larger than peer's advertised limit": permanentFact,
		"http2: response header list larger than advertised limit":       permanentFact,
		"header list too large": permanentFact,
		// A response's header of HTTP/2 may also be too large in one field, or by far (http2Framer.readMetaFrame).
		"connection error: COMPRESSION_ERROR":          unreadableFact,
		"connection error: PROTOCOL_ERROR":             unreadableFact,
		"http2: could not negotiate protocol mutually": refusalFact,
		// What comes of closing a connection of TLS under a writer refuses nothing.
		"tls: protocol is shutdown": 0,
		// Of the replies of SOCKS (RFC 1928 §6) only this one forbids.
		"unknown error connection not allowed by ruleset": 0,
	}
	for code := 400; code < 500; code++ {
		texts[http.StatusText(code)] = refusalFact // a proxy's to CONNECT (http.Transport.dialConn)
	}
	for code := 500; code < 600; code++ {
		texts[http.StatusText(code)] = accidentFact
	}
	delete(texts, "")
	return texts
})

// knownPrefixes are beginnings of texts. The first one that fits counts.
var knownPrefixes = []struct {
	prefix string
	facts  errorFacts
}{
	{"tls: ", refusalFact}, {"x509: ", refusalFact}, {"http2: unexpected ALPN protocol ", refusalFact},
	{"refusing to use HTTP_PROXY value in CGI environment", refusalFact},
	{"unknown error ", accidentFact}, // a reply of SOCKS
	{"malformed ", accidentFact},     // a response that cannot be read
	{"net/http: server response headers exceeded ", permanentFact},
	{"net/http: HTTP/1.x transport connection broken: ", brokenFact},
	{"net/http: ", netHTTPFact}, {"http: ", netHTTPFact}, {"unsupported protocol scheme ", netHTTPFact},
}

// factsOfText leaves out the text of errors that join others, since it begins with one of theirs, and of bare alerts
// of TLS: factsOfAlert knows more of those.
func factsOfText(err error) errorFacts {
	if _, joined := err.(interface{ Unwrap() []error }); joined || reflect.ValueOf(err).Kind() == reflect.Uint8 {
		return 0
	}
	text := err.Error()
	if facts, known := knownTexts()[text]; known {
		return facts
	}
	switch {
	case isOtherProtocol(text), isTooLargeForStream(text):
		return permanentFact
	case isUnsentOverHTTP2(err):
		return unprocessedFact
	}
	for _, known := range knownPrefixes {
		if strings.HasPrefix(text, known.prefix) {
			return known.facts
		}
	}
	return 0
}

// isTooLargeForStream looks into HTTP/2's stream errors, which show their cause in nothing but their text.
func isTooLargeForStream(text string) bool {
	return strings.HasPrefix(text, "stream error: ") &&
		(strings.HasSuffix(text, "; http2: response header list larger than advertised limit") || strings.HasSuffix(text, "; header list too large"))
}

// isOtherProtocol reports whether the response was surely one of another protocol: TLS or HTTP/2 from a port that was
// asked by HTTP/1, or HTTP/1 from one that was asked by HTTP/2. net/http quotes the first line that it could not
// parse (ReadResponse). What is anything else may come from a server that broke.
func isOtherProtocol(text string) bool {
	if quoted, ok := strings.CutPrefix(text, "malformed HTTP response "); ok {
		line, err := strconv.Unquote(quoted)
		return err == nil && (isTLSRecord(line) || isHTTP2Frame(line))
	}
	return strings.HasPrefix(text, "http2: ") && strings.HasSuffix(text, "note that the frame header looked like an HTTP/1.1 header")
}

// isTLSRecord knows the header of a record (RFC 8446 §5.1): a type, and a version from SSL 3.0 to TLS 1.3.
func isTLSRecord(data string) bool {
	return len(data) >= 3 && data[0] >= 20 && data[0] <= 23 && data[1] == 3 && data[2] <= 4
}

// isHTTP2Frame knows what a server may begin with (RFC 9113 §3.4, §4.1): SETTINGS, or the GOAWAY of one that did not
// understand a byte. Both are for the whole connection, stream 0.
func isHTTP2Frame(data string) bool {
	const header, settings, goAway = 9, 4, 7
	return len(data) >= header && (data[3] == settings || data[3] == goAway) && data[5:header] == "\x00\x00\x00\x00"
}
