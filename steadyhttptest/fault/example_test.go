package fault_test

import (
	"fmt"
	"net/http"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

// A third of the reads fail, until the injector is stopped.
func ExampleInjector() {
	injector := &fault.Injector{Base: fault.Status(200)} // in a program, an *http.Transport
	client := &http.Client{Transport: injector}
	count := func() (faults int) {
		for range 300 {
			response, err := client.Get("https://api.example.com")
			if err != nil || response.StatusCode != 200 {
				faults++
			}
			if err == nil {
				response.Body.Close()
			}
		}
		return faults
	}

	fmt.Println("off:", count())
	err := injector.Start(fault.Injection{
		Rate:  1.0 / 3,
		Match: func(r *http.Request) bool { return r.Method == http.MethodGet },
		Steps: []fault.Step{fault.Status(503), fault.Reset},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	faults := count()
	fmt.Println("on:", faults > 80 && faults < 120)
	injector.Stop()
	fmt.Println("off:", count())
	// Output:
	// off: 0
	// on: true
	// off: 0
}
