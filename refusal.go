package steadyhttp

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// isRefusal reports whether our own side, or a proxy, refused before there was a connection to the server:
// a certificate, a pin, a hook of TLS, an own dialer, net.Dialer's Control, a proxy's 4xx or login. Another
// attempt would be refused as well.
//
// A refusal is told from an accident by what it is not, since anybody may return an error of any type.
func isRefusal(err error, facts errorFacts, traced traceFlags) bool {
	switch {
	case traced&connectFailed != 0:
		return false
	case traced&tunneling != 0 && !facts.has(dialFact):
		return facts.has(refusalFact) || !facts.has(accidentFact) && deniesTunnel(err)
	case traced&(neverConnected|proxyFuncFailed) != 0, facts.has(dialFact):
		return !facts.has(accidentFact)
	default:
		return facts.has(refusalFact)
	}
}

// A proxyError is what a proxy responded to CONNECT, if that was not 200. The built-in transport makes it; of
// other transports net/http returns only the reason phrase.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return "proxy answered CONNECT with " + statusText(e.status) }

func (e *proxyError) facts() errorFacts {
	if e.status < http.StatusInternalServerError {
		return refusalFact
	}
	return accidentFact | unprocessedFact
}

// deniesTunnel looks at the reason phrase of a proxy that has words of its own, or writes the usual ones in its own way:
// HAProxy's are "Bad request" and "Request Time-out". One that says neither yes nor no may be a 5xx, which is worth another
// attempt.
func deniesTunnel(err error) bool {
	letters := strings.Map(lowerLetter, err.Error())
	if slices.ContainsFunc(denyingWords, func(word string) bool { return strings.Contains(letters, word) }) {
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if denyingPhrases()[strings.Map(lowerLetter, err.Error())] {
			return true
		}
	}
	return false
}

// denyingPhrases are those of all codes but 200 that are no 5xx, as [proxyError] has it.
var denyingPhrases = sync.OnceValue(func() map[string]bool {
	phrases := map[string]bool{"payloadtoolarge": true, "uritoolong": true, "unprocessablecontent": true} // RFC 9110 renamed them
	for code := 201; code < 500; code++ {
		phrases[strings.Map(lowerLetter, http.StatusText(code))] = true
	}
	delete(phrases, "")
	return phrases
})

var denyingWords = []string{"authenti", "authoriz", "credential", "forbid", "denied", "notallowed", "notpermitted", "prohibited", "blocked"}

// lowerLetter leaves nothing else of a text.
func lowerLetter(r rune) rune {
	if !unicode.IsLetter(r) {
		return -1
	}
	return unicode.ToLower(r)
}
