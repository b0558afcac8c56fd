package shop

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

// newClient returns the program's client. Outside production, admin gets a handler that injects faults.
func newClient(admin *http.ServeMux) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if os.Getenv("STAGE") == "production" {
		return steadyhttp.Wrap(&http.Client{Transport: transport})
	}
	injector := &fault.Injector{Base: transport} // off until it is started
	admin.Handle("/faults", faultHandler(injector))
	return steadyhttp.Wrap(&http.Client{Transport: injector}) // the retries are above the faults
}

// faultHandler starts and stops an injector: PUT /faults?rate=0.05, and DELETE /faults.
func faultHandler(injector *fault.Injector) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			injector.Stop()
			return
		}
		rate, err := strconv.ParseFloat(r.FormValue("rate"), 64)
		if err == nil {
			err = injector.Start(fault.Injection{
				Rate:  rate,
				Seed:  1,
				Match: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/stock/") },
				Steps: []fault.Step{
					fault.Status(503),
					fault.Reset,
					fault.Delay(2*time.Second, fault.Status(200).Body("{").Truncated()),
				},
			})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}
