package steadydebug

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/steadyhttp/steadyhttp"
)

const (
	maxForm   = 64 << 10 // bytes
	maxReason = 200      // bytes: it is in every error that an open breaker makes
	byHand    = "by hand"
)

// act does what a form asks for, and leads back to the page.
func (h *handler) act(w http.ResponseWriter, r *http.Request) {
	if err := h.protection.Check(r); err != nil {
		refuse(w, http.StatusForbidden, "steadydebug: "+err.Error())
		return
	}
	as, err := formatOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "steadydebug: the form cannot be read: "+err.Error())
		return
	}
	a, err := h.parseAction(r.PostForm)
	if err != nil {
		refuse(w, http.StatusBadRequest, "steadydebug: "+err.Error())
		return
	}
	a.do()
	w.Header().Set("Location", backTo(r, as, a)) // not by http.Redirect, which does not know what StripPrefix took away
	w.WriteHeader(http.StatusSeeOther)
}

// backTo is relative to the address that the form was sent to, wherever the handler is mounted.
func backTo(r *http.Request, as format, a action) string {
	if r.URL.RawQuery == "" {
		return "?#" + originID(a.transport, a.origin)
	}
	return "?format=" + formatNames[as] + "#" + originID(a.transport, a.origin)
}

// An action is a form that was understood.
type action struct {
	transport int
	origin    string
	breaker   *steadyhttp.Breaker
	name      string
	reason    string
	duration  time.Duration
}

func (a action) do() {
	switch a.name {
	case "trip":
		a.breaker.Trip(a.duration, a.reason)
	case "isolate":
		a.breaker.Isolate(a.reason)
	case "reset":
		a.breaker.Reset()
	}
}

func (h *handler) parseAction(form url.Values) (a action, err error) {
	if a.name, err = parseName(form); err != nil {
		return a, err
	}
	if a.transport, err = h.parseTransport(form); err != nil {
		return a, err
	}
	t := h.transports[a.transport]
	if a.origin, err = parseOrigin(form, t); err != nil {
		return a, err
	}
	if a.breaker = t.Breaker(a.origin); a.breaker == nil {
		return a, fmt.Errorf("transport %d has no breakers", a.transport)
	}
	if a.reason, err = parseReason(form); err != nil {
		return a, err
	}
	if a.name == "trip" {
		a.duration, err = parseDuration(form)
	}
	return a, err
}

// field is a value that must be there once.
func field(form url.Values, name string) (string, error) {
	switch values := form[name]; len(values) {
	case 0:
		return "", fmt.Errorf("%s is missing", name)
	case 1:
		return values[0], nil
	default:
		return "", fmt.Errorf("%s is given %d times", name, len(values))
	}
}

func parseName(form url.Values) (string, error) {
	name, err := field(form, "action")
	if err != nil {
		return "", err
	}
	switch name {
	case "trip", "isolate", "reset":
		return name, nil
	}
	return "", fmt.Errorf("there is no action %s: trip, isolate and reset are known", quoted(name))
}

func (h *handler) parseTransport(form url.Values) (int, error) {
	text, err := field(form, "transport")
	if err != nil {
		return 0, err
	}
	index, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(index) >= len(h.transports) || h.transports[index] == nil {
		return 0, fmt.Errorf("there is no transport %s", quoted(text))
	}
	return int(index), nil
}

// parseOrigin returns the name of an origin as the transport has it. One that it does not list is refused: it would be a
// typing error that looks like a success.
func parseOrigin(form url.Values, t *steadyhttp.Transport) (string, error) {
	name, err := field(form, "origin")
	if err != nil {
		return "", err
	}
	for _, known := range t.Origins() {
		if known.Origin == name || asSent(known.Origin) == asSent(name) {
			return known.Origin, nil
		}
	}
	return "", fmt.Errorf("there is no origin %s: it must be one that the page shows", quoted(name))
}

// asSent is what a browser makes of a name in a form: RFC 7578 §4.2 and the HTML standard end lines with CR LF, and
// html/template writes U+FFFD for what a page cannot have.
func asSent(name string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD").Replace(strings.ToValidUTF8(name, "\uFFFD"))
}

// parseReason may be left out.
func parseReason(form url.Values) (string, error) {
	if !form.Has("reason") {
		return byHand, nil
	}
	reason, err := field(form, "reason")
	switch {
	case err != nil:
		return "", err
	case len(reason) > maxReason:
		return "", fmt.Errorf("the reason %s is longer than %d bytes", quoted(reason), maxReason)
	case !utf8.ValidString(reason) || printable(reason) != reason:
		return "", fmt.Errorf("the reason %s has characters that cannot be shown", quoted(reason))
	}
	return cmp.Or(strings.TrimSpace(reason), byHand), nil
}

func parseDuration(form url.Values) (time.Duration, error) {
	text, err := field(form, "duration")
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("it must be more than 0")
	}
	if err != nil {
		return 0, fmt.Errorf("the duration %s is none, such as 90s or 5m", quoted(text))
	}
	return d, nil
}
