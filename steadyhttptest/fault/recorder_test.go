package fault_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

// fieldsForTrailers are the response header fields of RFC 9110 and others; net/http forbids some of them in a trailer.
var fieldsForTrailers = strings.Fields(`Accept-Ranges Age Allow Authorization Cache-Control Connection Content-Encoding
	Content-Language Content-Length Content-Location Content-Range Content-Type Date Etag Expect Expires Host If-Match
	If-None-Match Ifs Keep-Alive Last-Modified Location Max-Forwards Pragma Proxy-Authenticate Proxy-Authorization
	Proxy-Connection Range Realm Retry-After Server Server-Timing Set-Cookie Te Trailer Transfer-Encoding Vary Via
	Warning Www-Authenticate X-Checksum`)

var handlers = map[string]http.HandlerFunc{
	"nothing": func(http.ResponseWriter, *http.Request) {},
	"header only": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Via", "a")
	},
	"status": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Via", "a")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Via", "b")
	},
	"unknown status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) },
	"text": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>")
		_, _ = w.Write([]byte("more"))
		w.Header().Set("Via", "too late")
	},
	"long text": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1000)+"\x00")
	},
	"empty write":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) },
	"PNG":           func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x89PNG\x0D\x0A\x1A\x0A")) },
	"type":          func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Type", "text/x") },
	"no type":       func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Type") },
	"chunked":       func(w http.ResponseWriter, _ *http.Request) { respond(w, "Transfer-Encoding", "chunked") },
	"length":        func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Length", " 4 ") },
	"two lengths":   func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Length", "4", "5") },
	"bad length":    func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Length", "-4") },
	"huge length":   func(w http.ResponseWriter, _ *http.Request) { respond(w, "Content-Length", "9223372036854775808") },
	"status type":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = io.WriteString(w, "<html>") },
	"no content":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = io.WriteString(w, "text") },
	"not modified":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304); _, _ = w.Write([]byte("text")) },
	"http.Error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sorry", http.StatusServiceUnavailable) },
	"http.Redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	"flush": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Via", "a")
		w.(http.Flusher).Flush()
		w.Header().Set("Via", "too late")
		_, _ = io.WriteString(w, "<html>")
		w.(http.Flusher).Flush()
	},
	"controller": func(w http.ResponseWriter, _ *http.Request) {
		controller := http.NewResponseController(w)
		_, _, err := controller.Hijack()
		w.Header().Set("Hijack", err.Error())
		w.Header().Set("Duplex", controller.EnableFullDuplex().Error())
		if controller.Flush() == nil {
			_, _ = io.WriteString(w, "text")
		}
	},
	"announced trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", strings.ToLower(strings.Join(fieldsForTrailers[1:], " ,\t")))
		w.Header().Add("Trailer", fieldsForTrailers[0])
		w.Header().Add("Trailer", "Missing")
		w.WriteHeader(http.StatusOK)
		for _, name := range fieldsForTrailers {
			w.Header()[name] = []string{"a", "b"}
		}
		w.Header().Set("Unannounced", "a")
	},
	"announced too late": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Trailer", "X-Checksum")
		w.Header().Set("X-Checksum", "a")
	},
	"trailers without a value": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Checksum")
		w.WriteHeader(http.StatusOK)
	},
	"marked trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.Header()[http.TrailerPrefix+"X-Checksum"] = []string{"a", "b"}
		w.Header()[http.TrailerPrefix+"x-lower"] = []string{"a"}
		w.Header()[http.TrailerPrefix+"Content-Length"] = []string{"4"}
	},
}

// respond writes a header field and a text.
func respond(w http.ResponseWriter, name string, values ...string) {
	w.Header()[name] = values
	_, _ = io.WriteString(w, "text")
}

// The kit's own recorder keeps net/http/httptest out of programs; otherwise nothing must differ.
func TestStep_HandlerRespondsLikeHTTPTestsRecorder(t *testing.T) {
	t.Parallel()
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := httptest.NewRecorder()
			handler(theirs, httptest.NewRequest(http.MethodGet, target, nil))
			want := theirs.Result()
			got, err := fault.Handler(handler).RoundTrip(get(t))
			require.NoError(t, err)
			wantBody, err := io.ReadAll(want.Body)
			require.NoError(t, err)
			gotBody, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			assert.Equal(t, string(wantBody), string(gotBody))
			want.Body, got.Body = nil, nil
			assert.Equal(t, want, got)
		})
	}
}

func TestStep_HandlerWithAnImpossibleStatusPanicsLikeHTTPTestsRecorder(t *testing.T) {
	t.Parallel()
	for _, code := range []int{-1, 0, 99, 1000} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		assert.PanicsWithValue(t, panicOf(func() { httptest.NewRecorder().WriteHeader(code) }), func() {
			_, _ = fault.Handler(handler).RoundTrip(get(t))
		})
	}
}

func panicOf(f func()) (problem any) {
	defer func() { problem = recover() }()
	f()
	return nil
}
