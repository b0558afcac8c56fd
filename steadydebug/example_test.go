package steadydebug_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

// The page of a client stands beside the other debug pages of a program.
func ExampleHandler() {
	client, err := steadyhttp.NewClient()
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/steadyhttp", steadydebug.Handler(client.Transport.(*steadyhttp.Transport)))

	page := httptest.NewRecorder()
	mux.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/debug/steadyhttp?format=text", nil))
	fmt.Println(page.Code, page.Header().Get("Content-Type"))
	// Output: 200 text/plain; charset=utf-8
}

// Whoever may see an administrator's page may also open and close breakers.
func ExampleHandlerFor() {
	transport, err := steadyhttp.NewTransport(nil)
	if err != nil {
		panic(err)
	}
	requireLogin := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != "correct horse" {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	page := steadydebug.HandlerFor([]*steadyhttp.Transport{transport}, steadydebug.Writable())
	mux := http.NewServeMux()
	mux.Handle("/admin/steadyhttp", requireLogin(page))

	refused := httptest.NewRecorder()
	mux.ServeHTTP(refused, httptest.NewRequest(http.MethodGet, "/admin/steadyhttp", nil))
	fmt.Println(refused.Code)
	// Output: 401
}
