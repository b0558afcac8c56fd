package steadyhttp

import (
	"strconv"
	"strings"
)

// isMismatch reports whether client and server do not fit together, which asking again cannot change: another
// protocol than the client speaks, or a header larger than one of them takes.
func isMismatch(err error) bool {
	return isHTTP2Refusal(err) || isOtherProtocol(err) || isHeaderTooLarge(err)
}

// isOtherProtocol reports whether the answer was surely one of another protocol: TLS or HTTP/2 from a port that
// was asked by HTTP/1, or HTTP/1 from one that was asked by HTTP/2. net/http quotes the first line that it could
// not parse (ReadResponse). What is anything else may be a server that broke.
func isOtherProtocol(err error) bool {
	return anyText(err, func(text string) bool {
		if quoted, ok := strings.CutPrefix(text, "malformed HTTP response "); ok {
			line, err := strconv.Unquote(quoted)
			return err == nil && (isTLSRecord(line) || isHTTP2Frame(line))
		}
		return strings.HasPrefix(text, "http2: ") && strings.HasSuffix(text, "note that the frame header looked like an HTTP/1.1 header")
	})
}

// isTLSRecord knows the header of a record (RFC 8446 §5.1): a type, and a version from SSL 3.0 to TLS 1.3.
func isTLSRecord(data string) bool {
	return len(data) >= 3 && data[0] >= 20 && data[0] <= 23 && data[1] == 3 && data[2] <= 4
}

// isHTTP2Frame knows what a server may begin with (RFC 9113 §3.4, §4.1): SETTINGS, or the GOAWAY of one that
// liked no byte of what it was sent. Both are for the whole connection, stream 0.
func isHTTP2Frame(data string) bool {
	const header, settings, goAway = 9, 4, 7
	return len(data) >= header && (data[3] == settings || data[3] == goAway) && data[5:header] == "\x00\x00\x00\x00"
}

// isHeaderTooLarge reports whether the response's header is larger than the client takes, or the request's larger
// than the server does, as it said by HTTP/2's SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2; over HTTP/1 that
// is a 431). None of these errors has a type, and how large a header may be shows in no request.
func isHeaderTooLarge(err error) bool {
	return hasErrorPrefix(err, "net/http: server response headers exceeded ") || hasErrorText(err,
		"http2: request header list larger than peer's advertised limit",
		"http2: response header list larger than advertised limit",
		"header list too large",
	) || anyText(err, hasTooLargeCause)
}

// hasTooLargeCause looks into HTTP/2's stream errors, which show their cause only in their text.
func hasTooLargeCause(text string) bool {
	return strings.HasPrefix(text, "stream error: ") &&
		(strings.HasSuffix(text, "; http2: response header list larger than advertised limit") || strings.HasSuffix(text, "; header list too large"))
}
