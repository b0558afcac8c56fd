package steadyhttp

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
)

// idempotentMethods may be sent twice with the effect of once: those of IANA's HTTP Method Registry that have "yes"
// in its column Idempotent (RFC 9110 §9.2.2 and §16.1; most others are RFC 7237's, QUERY is RFC 10008's). Not so
// CONNECT, LOCK, PATCH and POST. A method is case-sensitive, and an empty one is GET.
var idempotentMethods = []string{
	"", http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, "QUERY",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "REPORT", "SEARCH", // WebDAV's
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "LABEL", "LINK", "MERGE", "MKACTIVITY", "MKCALENDAR",
	"MKREDIRECTREF", "MKWORKSPACE", "ORDERPATCH", "PRI", "REBIND", "UNBIND", "UNCHECKOUT", "UNLINK", "UPDATE",
	"UPDATEREDIRECTREF", "VERSION-CONTROL",
}

// idempotent reports whether the request itself says that it may be sent twice. The presence of a key
// counts, even without a value, as it does for http.Request.isReplayable.
func idempotent(request *http.Request) bool {
	return slices.Contains(idempotentMethods, request.Method) || hasIdempotencyKey(request.Header)
}

const idempotencyKey = "Idempotency-Key"

func hasIdempotencyKey(header http.Header) bool {
	if _, ok := header[idempotencyKey]; ok {
		return true
	}
	_, ok := header["X-Idempotency-Key"]
	return ok
}

// withIdempotencyKey gives a POST or PATCH a key of its own, if it has none. RFC 9110 calls no other
// method that clients use unsafe to repeat; deployed servers take the key unquoted.
func withIdempotencyKey(request *http.Request) *http.Request {
	unsafe := request.Method == http.MethodPost || request.Method == http.MethodPatch
	if !unsafe || namesKey(request.Header) {
		return request
	}
	keyed := request.WithContext(request.Context())
	keyed.Header = request.Header.Clone()
	if keyed.Header == nil {
		keyed.Header = make(http.Header)
	}
	keyed.Header.Set(idempotencyKey, rand.Text())
	return keyed
}

// namesKey also finds a key in other letters than net/http looks for, which would be a second one on the
// wire.
func namesKey(header http.Header) bool {
	for name := range header {
		if strings.EqualFold(name, idempotencyKey) || strings.EqualFold(name, "X-"+idempotencyKey) {
			return true
		}
	}
	return false
}
