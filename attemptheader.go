package steadyhttp

import (
	"net/http"
	"strconv"
)

// checkAttemptHeader refuses what cannot be sent, what net/http or the connection has a meaning for (RFC 9110 §7.6.1), and
// what a retry must send as it is: with another key the server would act twice.
func checkAttemptHeader(name string) error {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return invalidOption("WithAttemptHeader", strconv.Quote(name), "want a field that does not frame the message")
	case idempotencyKey, "X-" + idempotencyKey, "Range", "If-Range":
		return invalidOption("WithAttemptHeader", strconv.Quote(name), "want a field that a retry does not need itself")
	}
	return check(name == "" || isToken(name), "WithAttemptHeader", strconv.Quote(name), "want a valid field name")
}

// headerOf returns the header to send with a retry, for [WithAttemptHeader]. The caller's is not modified.
func (p *policy) headerOf(a *attempt) http.Header {
	if p.attemptHeader == "" {
		return a.request.Header
	}
	header := a.request.Header.Clone()
	if header == nil { // which a base may take
		header = make(http.Header)
	}
	for name := range header {
		if http.CanonicalHeaderKey(name) == p.attemptHeader {
			delete(header, name) // in whatever letters: two of them would be sent
		}
	}
	header.Set(p.attemptHeader, strconv.Itoa(a.number))
	return header
}
