package shop

import (
	"net/http"
	"testing"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

func TestStaging_HandlerStartsAndStopsTheFaults(t *testing.T) {
	server := steadyhttptest.NewServer(steadyhttptest.Status(200).Body(`{"stock": 7}`))
	defer server.Close()
	admin := &http.ServeMux{}
	client, err := newClient(admin)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	injected := func() string {
		response := send(t, client, http.MethodGet, server.URL+"/stock/boots")
		return response.Header.Get(fault.FaultHeader)
	}
	control := func(method, query string) int {
		admin := &http.Client{Transport: fault.Handler(admin)}
		return send(t, admin, method, "http://admin.example.com/faults"+query).StatusCode
	}
	if got := injected(); got != "" {
		t.Errorf("before the start: %s", got)
	}
	if code := control(http.MethodPut, "?rate=2"); code != http.StatusBadRequest {
		t.Errorf("rate=2: %d", code)
	}
	if code := control(http.MethodPut, "?rate=1"); code != http.StatusOK {
		t.Errorf("rate=1: %d", code)
	}
	if got := injected(); got == "" {
		t.Error("nothing was injected")
	}
	control(http.MethodDelete, "")
	if got := injected(); got != "" {
		t.Errorf("after the stop: %s", got)
	}
}

func TestStaging_ProductionHasNoFaults(t *testing.T) {
	t.Setenv("STAGE", "production")
	admin := &http.ServeMux{}
	if _, err := newClient(admin); err != nil {
		t.Fatal(err)
	}
	response := send(t, &http.Client{Transport: fault.Handler(admin)}, http.MethodPut, "http://admin.example.com/faults?rate=1")
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("production has a handler: %s", response.Status)
	}
}

// send makes a call without retries. If it fails, the error stands in the fault header.
func send(t *testing.T, client *http.Client, method, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(steadyhttp.NoRetry(t.Context()), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return &http.Response{Header: http.Header{fault.FaultHeader: {err.Error()}}}
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response
}
