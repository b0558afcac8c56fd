package steadydebug

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// Handler shows the state of these transports to whoever sends a GET or a HEAD. It changes nothing: for actions see
// [HandlerFor] and [Writable].
//
// A nil transport is shown as such, and none at all make a page that says so: Handler never panics. It is safe for
// concurrent use, and keeps nothing between two requests.
func Handler(transports ...*steadyhttp.Transport) http.Handler {
	return HandlerFor(transports)
}

// HandlerFor is [Handler] with options, such as [Writable]. A nil option changes nothing.
func HandlerFor(transports []*steadyhttp.Transport, options ...Option) http.Handler {
	h := &handler{transports: slices.Clone(transports)}
	for _, option := range options {
		if option != nil {
			option(h)
		}
	}
	return h
}

// An Option changes what [HandlerFor] returns.
type Option func(*handler)

// Writable adds the actions: a form for each origin, which trips, isolates or resets its breaker by a POST; see the methods
// of [steadyhttp.Breaker]. Without it a POST is refused with a 405.
//
// A POST that a browser sends for another site is refused with a 403, by [http.CrossOriginProtection]. Who may call
// the handler at all is for the program to decide: it asks nobody for a password.
func Writable() Option { return func(h *handler) { h.writable = true } }

type handler struct {
	transports []*steadyhttp.Transport
	writable   bool
	protection http.CrossOriginProtection
}

// ServeHTTP is called by many at a time; it changes nothing of the handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		h.show(w, r)
	case r.Method == http.MethodPost && h.writable:
		h.act(w, r)
	default:
		w.Header().Set("Allow", h.methods())
		refuse(w, http.StatusMethodNotAllowed, "steadydebug: method "+strconv.Quote(r.Method)+" is not allowed: "+h.methods())
	}
}

func (h *handler) methods() string {
	if h.writable {
		return "GET, HEAD, POST"
	}
	return "GET, HEAD"
}

func (h *handler) show(w http.ResponseWriter, r *http.Request) {
	as, err := formatOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	content, err := as.render(newSnapshot(h.transports, time.Now()), h.writable)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "steadydebug: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", as.contentType())
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy())
	w.Header().Set("Referrer-Policy", "same-origin") // with no-referrer a browser would hide the Origin of a POST
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the reader may have gone
	}
}

// refuse answers with one line of text.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", formatText.contentType())
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
