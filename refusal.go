package steadyhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode"
)

// isRefusal reports whether our own side, or a proxy, refused before there was a connection to the server:
// a certificate, a pin, a hook of TLS, an own dialer, net.Dialer's Control, a proxy's 4xx or login. Another
// attempt would be refused as well.
//
// A refusal is told from an accident by what it is not, since anybody may return an error of any type.
func isRefusal(err error, traced traceFlags) bool {
	switch {
	case traced&connectFailed != 0:
		return false
	case traced&tunneling != 0 && !isDial(err):
		return isProxyRefusal(err) || isTLSRefusal(err) || !isAccident(err) && anyText(err, saysNo)
	case traced&(neverConnected|proxyFuncFailed) != 0, isDial(err):
		return !isAccident(err)
	default:
		return isTLSRefusal(err) || isProxyRefusal(err)
	}
}

// isDial knows the operations that precede a connection: net.Dialer's, http.Transport.dialConn's, and
// the SOCKS dialer's in net/http.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect")
}

// isAccident reports whether an error of making a connection tells of something that may not happen again: the
// network, the resolver, a deadline, a peer that hung up or spoke nonsense.
func isAccident(err error) bool {
	is := func(accident error) bool { return errors.Is(err, accident) }
	return slices.ContainsFunc(accidents, is) || anyError(err, isPassing) || isProxyFailure(err)
}

var accidents = []error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, context.Canceled, context.DeadlineExceeded,
}

// isPassing looks at one error alone, not at those within it. That it may pass is what Timeout and Temporary say,
// and "malformed" is how net/http begins to tell of an answer that it cannot read.
func isPassing(err error) bool {
	switch typed := err.(type) {
	case syscall.Errno, *net.DNSError, textproto.ProtocolError:
		return true
	case *net.OpError:
		if isAlert(typed) {
			return true
		}
	}
	timeout, ok := err.(interface{ Timeout() bool })
	if ok && timeout.Timeout() {
		return true
	}
	temporary, ok := err.(interface{ Temporary() bool })
	return ok && temporary.Temporary() || strings.HasPrefix(err.Error(), "malformed ")
}

// isTLSRefusal knows the words of crypto/tls and crypto/x509, whose errors have no types.
func isTLSRefusal(err error) bool {
	return !anyError(err, isBareAlert) && anyText(err, saysTLSRefusal) || hasErrorPrefix(err, "http2: unexpected ALPN protocol ") ||
		hasErrorText(err, "http2: could not negotiate protocol mutually")
}

// isBareAlert leaves alerts to isTLSAlert, which knows who sent them.
func isBareAlert(err error) bool { return reflect.ValueOf(err).Kind() == reflect.Uint8 }

// saysTLSRefusal leaves out what comes of closing a connection under a writer.
func saysTLSRefusal(text string) bool {
	return text != "tls: protocol is shutdown" && (strings.HasPrefix(text, "tls: ") || strings.HasPrefix(text, "x509: "))
}

// A proxyError is what a proxy answered to CONNECT, if that was not 200. The built-in transport makes it; of
// other transports net/http returns only the reason phrase.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return "proxy answered CONNECT with " + statusText(e.status) }

// isProxyRefusal reports whether a proxy said no to CONNECT for good: it does not know us, or does not let us
// go there. Only the exact phrase of a 4xx counts, since without a trace the error may be anybody's.
func isProxyRefusal(err error) bool {
	var proxy *proxyError
	if errors.As(err, &proxy) {
		return proxy.status < http.StatusInternalServerError
	}
	return hasErrorText(err, clientErrorPhrases()...) || hasErrorPrefix(err, "refusing to use HTTP_PROXY value in CGI environment")
}

// isProxyFailure reports whether a proxy failed, or failed to reach the server: a 5xx to CONNECT, or a reply of
// SOCKS (RFC 1928 §6) but "not allowed by ruleset".
func isProxyFailure(err error) bool {
	var proxy *proxyError
	if errors.As(err, &proxy) {
		return proxy.status >= http.StatusInternalServerError
	}
	const reply, ruleset = "unknown error ", "unknown error connection not allowed by ruleset"
	return hasErrorPrefix(err, reply) && !hasErrorText(err, ruleset) || hasErrorText(err, serverErrorPhrases()...)
}

// saysNo looks at the reason phrase of a proxy that has words of its own. One that says neither yes nor no may be a
// 5xx, which is worth another attempt.
func saysNo(phrase string) bool {
	words := letters(phrase)
	return slices.ContainsFunc(refusingWords, func(word string) bool { return strings.Contains(words, word) })
}

var refusingWords = []string{"authenti", "authoriz", "credential", "forbid", "denied", "notallowed", "notpermitted", "prohibited", "blocked"}

// letters leaves of a phrase its letters, in lower case.
func letters(phrase string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, phrase)
}

// The reason phrases that net/http knows (http.StatusText).
var (
	clientErrorPhrases = sync.OnceValue(func() []string { return reasonPhrases(400, 499) })
	serverErrorPhrases = sync.OnceValue(func() []string { return reasonPhrases(500, 599) })
)

func reasonPhrases(first, last int) []string {
	var phrases []string
	for code := first; code <= last; code++ {
		if phrase := http.StatusText(code); phrase != "" {
			phrases = append(phrases, phrase)
		}
	}
	return phrases
}
