package steadyhttp

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// causeText is the error's text on one line, and without the query and userinfo of any URL in it: a base
// transport names its target, or calls another service, for a token say, and returns a *url.Error. Some of
// the words are a peer's: the reason that a proxy gives (http.Transport.dialConn), names in a certificate.
func causeText(err error) string {
	text := absoluteURL.ReplaceAllStringFunc(redactAll(err.Error(), err), redactAddress)
	return printable(strings.ReplaceAll(text, "\n", "; "))
}

// absoluteURL finds URLs in a text, as far as they have no space or quote in them, and without the text's
// punctuation behind them. Those of a *url.Error are known exactly, and taken out before.
var absoluteURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]*[^\s".,:;)]`)

// redactAll takes the URLs out of the text that the errors in the tree put there.
func redactAll(text string, err error) string {
	if failed, ok := err.(*url.Error); ok {
		text = redactText(text, failed.URL)
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			text = redactAll(text, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			text = redactAll(text, inner)
		}
	}
	return text
}

func redactText(text, address string) string {
	shown := redactAddress(address)
	quoted := strings.Trim(strconv.Quote(address), `"`)
	return strings.ReplaceAll(strings.ReplaceAll(text, quoted, shown), address, shown)
}

func redactAddress(address string) string {
	target, err := url.Parse(address)
	if err != nil {
		return "(unreadable URL)"
	}
	return redact(target)
}

// redact leaves out of a URL all that may be secret.
func redact(target *url.URL) string { return bare(target).String() }

// bare is a URL without userinfo, query and fragment. Of none it makes an empty one.
func bare(target *url.URL) *url.URL {
	if target == nil {
		return &url.URL{}
	}
	return &url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath}
}

// lineLimit bounds what is repeated of a text that a server wrote.
const lineLimit = 256

// line makes a text of somebody else's fit for a log: printable, bounded and trimmed.
func line(text string) string {
	if len(text) > lineLimit {
		text = strings.ToValidUTF8(text[:lineLimit], "") + "…"
	}
	return strings.TrimSpace(printable(text))
}

// printable is a text on one line, with a space for all that steers a terminal or turns the direction of
// writing.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// methodOf is the method as it is sent: net/http takes an empty one for GET.
func methodOf(request *http.Request) string {
	if request.Method == "" {
		return http.MethodGet
	}
	return request.Method
}

func counted(attempts int) string {
	if attempts == 1 {
		return "1 attempt"
	}
	return strconv.Itoa(attempts) + " attempts"
}
