package steadyhttp

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// checkURL refuses what net/http's HTTP/1 reports with an error that has no type, and what makes its
// HTTP/2 dial for ever: a control character where unescaped input was put into the URL.
func checkURL(target *url.URL) error {
	if isUnescaped(target.RawQuery) || isUnescaped(target.Opaque) {
		return errors.New("steadyhttp: control character in RawQuery or Opaque of Request.URL; escape it with url.QueryEscape")
	}
	return nil
}

func isUnescaped(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return true
		}
	}
	return false
}

// unsendable reports whether net/http refuses to send this request (http.Transport.roundTrip). Its
// errors for that have no types, so the request itself is looked at, once sending it has failed.
func unsendable(request *http.Request) bool {
	if request == nil {
		return false
	}
	return request.Header == nil || request.Body == nil && request.ContentLength > 0 ||
		request.Method != "" && !isToken(request.Method) || !validTarget(request) ||
		!validFields(request.Header) || !validFields(request.Trailer) || !validTrailer(request.Trailer) ||
		!validOverHTTP2(request.Header)
}

// validTarget also refuses a Host that HTTP/1 would leave out (http.Request.write), since HTTP/2 does not send it.
// What the host of another scheme looks like is for whoever registered that to say.
func validTarget(request *http.Request) bool {
	target := request.URL
	if target == nil || checkURL(target) != nil {
		return false
	}
	return !isHTTP(target) || target.Host != "" && !strings.Contains(request.Host, " ") && !hasControl(request.Host)
}

func isHTTP(target *url.URL) bool { return target.Scheme == "http" || target.Scheme == "https" }

// isUnknownScheme reports whether net/http refused the scheme. One that was registered with
// http.Transport.RegisterProtocol, or that another base knows, fails in other words, and as http does.
func isUnknownScheme(request *http.Request, facts errorFacts) bool {
	if request == nil || request.URL == nil || isHTTP(request.URL) {
		return false
	}
	return facts.has(netHTTPFact) && !facts.has(brokenFact)
}

// validOverHTTP2 refuses the fields that only an HTTP/1 connection has (RFC 9113 §8.2.2), as net/http's HTTP/2
// does. A WebSocket is opened over HTTP/1 (http.Request.requiresHTTP1).
func validOverHTTP2(header http.Header) bool {
	if strings.EqualFold(header.Get("Upgrade"), "websocket") {
		return true
	}
	return onlyValues(header["Upgrade"], "chunked") && onlyValues(header["Transfer-Encoding"], "chunked") &&
		onlyValues(header["Connection"], "close", "keep-alive")
}

// onlyValues reports whether there is at most one line, with nothing else in it than one of these values.
func onlyValues(lines []string, values ...string) bool {
	if len(lines) == 0 {
		return true
	}
	allowed := func(value string) bool { return strings.EqualFold(lines[0], value) }
	return len(lines) == 1 && (lines[0] == "" || slices.ContainsFunc(values, allowed))
}

// validTrailer refuses the fields that frame the message (http.Request.write).
func validTrailer(trailer http.Header) bool {
	for name := range trailer {
		switch http.CanonicalHeaderKey(name) {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return false
		}
	}
	return true
}

func validFields(header http.Header) bool {
	for name, values := range header {
		if !isToken(name) || slices.ContainsFunc(values, hasControl) {
			return false
		}
	}
	return true
}

// isToken is RFC 9110 §5.6.2's token.
func isToken(text string) bool {
	const punctuation = "!#$%&'*+-.^_`|~"
	notInToken := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune(punctuation, r))
	}
	return text != "" && !strings.ContainsFunc(text, notInToken)
}

// hasControl reports whether a field value has an octet that RFC 9110 §5.5 forbids.
func hasControl(value string) bool {
	for i := range len(value) {
		if octet := value[i]; octet < ' ' && octet != '\t' || octet == 0x7f {
			return true
		}
	}
	return false
}
