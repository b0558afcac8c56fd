//go:build go1.26

package fault_test

import (
	"io"
	"net/http"
)

// Go 1.26's httptest.ResponseRecorder is the first to refuse a body where the status allows none.
func init() {
	handlers["informational status"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, err := io.WriteString(w, "text")
		w.Header().Set("Error", err.Error())
		w.WriteHeader(http.StatusOK)
	}
}
